"""Python's arguments for each kind of process, used by `manage.py up` and `manage.py serve`."""

from __future__ import annotations


def web_argv(host: str, port: int, *, workers: int) -> list[str]:
    """Return the arguments of the server for pages and API, with `workers` processes."""
    where = ["--host", host, "--port", str(port)]
    size = ["--workers", str(workers), "--blocking-threads", "4"]
    quiet = ["--no-ws", "--log-level", "warning", "--workers-kill-timeout", "2"]
    return ["-m", "granian", "--interface", "wsgi", *where, *size, *quiet, "broker.wsgi:application"]


def streams_argv(host: str, port: int) -> list[str]:
    """Return the arguments of the server for live streams and MCP."""
    where = ["--host", host, "--port", str(port)]
    quiet = ["--log-level", "warning", "--no-access-log", "--no-server-header"]
    return ["-m", "uvicorn", *where, *quiet, "--timeout-graceful-shutdown", "1", "broker.asgi:application"]


def worker_argv() -> list[str]:
    """Return the arguments of the worker and its scheduler."""
    # As root, Celery warns about pickled messages, but this worker accepts only JSON.
    python = [
        "-W",
        "ignore:You're running the worker",
        "-m",
        "celery",
        "-q",
        "-A",
        "broker.processes.worker:app",
    ]
    quiet = ["-l", "WARNING", "--without-gossip", "--without-mingle"]
    return [
        *python,
        "worker",
        "-P",
        "threads",
        "-c",
        "4",
        "--ticks",
        *quiet,
        "-Q",
        "revoke,provision,upkeep,notify",
    ]


def gateway_argv() -> list[str]:
    """Return the arguments of all gateways."""
    return ["manage.py", "gateway"]
