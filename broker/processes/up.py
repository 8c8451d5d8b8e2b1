"""`manage.py up`: run all of Stint as one supervised group.

It starts embedded servers unless DATABASE_URL and REDIS_URL are set, runs the migrations, then starts web,
streams, worker and one process with all gateways. It does not load Django; its processes get their settings
from the environment.
"""

from __future__ import annotations

import argparse
import os
import socket
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from broker.direct import direct
from broker.embedded.errors import EmbeddedError
from broker.embedded.postgres import OWNER, EmbeddedPostgres
from broker.embedded.server import PrivateServer, plain_env
from broker.embedded.state import (
    REPOSITORY,
    RunningUrls,
    remove_urls,
    secret_key_file,
    state_dir,
    write_urls,
)
from broker.embedded.valkey import EmbeddedValkey
from broker.env import EnvError
from broker.processes.argv import gateway_argv, streams_argv, web_argv, worker_argv
from broker.processes.fork_server import ForkServer
from broker.processes.fork_server import possible as fork_server_possible
from broker.processes.supervisor import Process, Supervisor
from broker.variables import gateways, service

# The path of the file that the worker creates when it accepts messages.
WORKER_READY = "STINT_WORKER_READY"
_DATABASES, _MIGRATION, _APPLICATION = 0, 1, 2


class PortTakenError(RuntimeError):
    """Stint can't listen on a port. The message gives the port and how to choose another one."""


@dataclass(frozen=True, kw_only=True)
class Options:
    """The addresses and ports of the processes. If `web_workers` is 0, one web worker runs with the
    embedded database, and two run with an external one.
    """

    host: str
    port: int
    streams_port: int
    ssh_host: str
    ssh_port: int
    postgres_host: str
    postgres_port: int
    gateway_host: str
    gateway_port: int
    web_workers: int

    @property
    def url(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}"


def command_line() -> argparse.ArgumentParser:
    """Return the parser of the command line. Defaults come from environment variables. Raises `EnvError`."""
    parser = argparse.ArgumentParser(
        prog="manage.py up",
        description=(
            "Start all of Stint: embedded PostgreSQL and Valkey unless DATABASE_URL and REDIS_URL are set,"
            " the migrations, then web, streams, worker and gateways. Ctrl-C stops everything, but ends no"
            " grants."
        ),
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = parser.add_argument
    add(
        "--host",
        default=service.HTTP_HOST.read(),
        help="address on which the web and streams processes listen",
    )
    add("--port", type=int, default=service.HTTP_PORT.read(), help="port of pages and API")
    add("--streams-port", type=int, default=service.STREAMS_PORT.read(), help="port of live streams")
    add("--ssh-host", default=gateways.SSH_HOST.read(), help="address of the SSH gateway")
    add("--ssh-port", type=int, default=gateways.SSH_PORT.read(), help="port of the SSH gateway")
    add(
        "--postgres-host",
        default=gateways.POSTGRES_GATEWAY_HOST.read(),
        help="address of the PostgreSQL gateway",
    )
    add(
        "--postgres-port",
        type=int,
        default=gateways.POSTGRES_GATEWAY_PORT.read(),
        help="port of the PostgreSQL gateway",
    )
    add(
        "--gateway-host",
        default=gateways.GATEWAY_HOST.read(),
        help="address of the HTTPS gateways",
    )
    add(
        "--gateway-port",
        type=int,
        default=gateways.GATEWAY_PORT.read(),
        help="port of the HTTPS gateways",
    )
    add(
        "--web-workers",
        type=int,
        default=service.WEB_WORKERS.read(),
        help="number of web processes; 0 means one with the embedded database, otherwise two",
    )
    return parser


def parse(argv: Sequence[str]) -> Options:
    """Parse the command line. Raises `EnvError`."""
    return Options(**vars(command_line().parse_args(argv)))


def main(argv: Sequence[str]) -> int:
    """Run the group until it is stopped. Return the exit status."""
    try:
        options = parse(argv)
        _check_ports(options)
        return _run(options, state_dir())
    except (EmbeddedError, EnvError, PortTakenError) as error:
        sys.stderr.write(f"stint: {error}\n")
        return 1


def _run(options: Options, state: Path) -> int:
    postgres = None if service.DATABASE_URL.read() else EmbeddedPostgres(state)
    valkey = None if service.REDIS_URL.read() else EmbeddedValkey(state)
    servers: list[PrivateServer] = [server for server in (postgres, valkey) if server is not None]
    prepared: list[PrivateServer] = []
    try:
        for server in servers:
            server.prepare()
            prepared.append(server)
        environment = _environment(options, state, postgres, valkey)
        if postgres is not None:
            write_urls(state, _urls(environment, state))
        workers = options.web_workers or (1 if postgres is not None else 2)
        processes = [
            *(_server(server) for server in servers),
            _migration(environment),
            *_applications(options, environment, web_workers=workers),
        ]
        return Supervisor(processes, on_ready=lambda: _say_ready(options)).run()
    finally:
        if postgres in prepared:
            remove_urls(state)
        for server in prepared:
            server.finish()


def _environment(
    options: Options, state: Path, postgres: EmbeddedPostgres | None, valkey: EmbeddedValkey | None
) -> dict[str, str]:
    """Return the environment of all processes, with the owner's database URL."""
    found = {
        **os.environ,
        "STINT_STATE_DIR": str(state),
        "STINT_SSH_HOST": options.ssh_host,
        "STINT_SSH_PORT": str(options.ssh_port),
        "STINT_POSTGRES_GATEWAY_HOST": options.postgres_host,
        "STINT_POSTGRES_GATEWAY_PORT": str(options.postgres_port),
        "STINT_GATEWAY_HOST": options.gateway_host,
        "STINT_GATEWAY_PORT": str(options.gateway_port),
        "STINT_STREAMS_PORT": str(options.streams_port),
        WORKER_READY: str(state / "worker_ready"),
        "PYTHONUNBUFFERED": "1",
        # Prevents the worker from running Django's checks, which load the pages and the API.
        "CELERY_SKIP_CHECKS": "1",
    }
    if found.setdefault("STINT_PUBLIC_URL", options.url) == options.url:
        # Without a proxy in front of the pages, browsers connect to the streams' own port.
        found.setdefault("STINT_STREAMS_DIRECT_PORT", str(options.streams_port))
    if postgres is not None:
        found["DATABASE_URL"], found["DATABASE_OWNER_URL"] = postgres.url(), postgres.url(OWNER)
        if not service.SECRET_KEY.read():
            found["STINT_SECRET_KEY_FILE"] = str(secret_key_file(state))
    if valkey is not None:
        found["REDIS_URL"] = valkey.celery_url()
    return found


def _urls(environment: Mapping[str, str], state: Path) -> RunningUrls:
    secret = service.SECRET_KEY.read() or secret_key_file(state).read_text(encoding="utf-8").strip()
    return RunningUrls(
        database=environment["DATABASE_URL"],
        owner=environment["DATABASE_OWNER_URL"],
        queue=environment["REDIS_URL"],
        secret_key=secret,
    )


def _server(server: PrivateServer) -> Process:
    return Process(
        name=server.name,
        argv=server.argv(),
        color="grey",
        stage=_DATABASES,
        ready=server.is_ready,
        env=plain_env(),
        cwd=Path("/"),
        stop_signal=server.stop_signal,
        inherit=(server.inherited_fd,),
        hidden=server.hidden,
    )


def _migration(environment: Mapping[str, str]) -> Process:
    argv = [sys.executable, "manage.py", "migrate", "--no-input", "--verbosity", "0"]
    return Process(
        name="migrate",
        argv=argv,
        stage=_MIGRATION,
        once=True,
        env=environment,
        cwd=REPOSITORY,
    )


def _applications(options: Options, environment: Mapping[str, str], *, web_workers: int) -> list[Process]:
    def application(name: str, color: str, argv: list[str], ready: Callable[[], bool]) -> Process:
        return Process(
            name=name,
            argv=[sys.executable, *argv],
            color=color,
            stage=_APPLICATION,
            ready=ready,
            env=env,
            cwd=REPOSITORY,
            fork_server=fork_server,
        )

    # Remove a file that an earlier run left behind. The worker creates a new one when it accepts messages.
    working = Path(environment[WORKER_READY])
    working.unlink(missing_ok=True)
    fork_server = ForkServer() if fork_server_possible else None
    # Only migrations get the owner's role, which could rewrite the record.
    env = {name: value for name, value in environment.items() if name != "DATABASE_OWNER_URL"}
    return [
        *(_fork_server(fork_server, env) if fork_server else ()),
        application(
            "web",
            "green",
            web_argv(options.host, options.port, workers=web_workers),
            lambda: _answers(f"{options.url}/readyz"),
        ),
        application(
            "streams",
            "cyan",
            streams_argv(options.host, options.streams_port),
            lambda: _listens(options.host, options.streams_port),
        ),
        application("worker", "magenta", worker_argv(), working.exists),
        application("gateway", "blue", gateway_argv(), lambda: _gateway_listens(options)),
    ]


def _fork_server(fork_server: ForkServer, environment: Mapping[str, str]) -> Iterator[Process]:
    """Yield the fork server, which loads while the databases start and the migrations run."""
    yield Process(
        name="fork-server",
        argv=fork_server.argv,
        stage=_MIGRATION,
        early=True,
        ready=fork_server.is_ready,
        ended=fork_server.forget,
        env=environment,
        cwd=REPOSITORY,
        inherit=(fork_server.inherited_fd,),
    )


def _check_ports(options: Options) -> None:
    """Raise `PortTakenError` before anything starts, so that no process fails repeatedly."""
    ports = [
        (options.host, options.port, "--port or STINT_HTTP_PORT"),
        (options.host, options.streams_port, "--streams-port or STINT_STREAMS_PORT"),
        *_gateway_ports(options),
    ]
    for host, port, how in ports:
        try:
            family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
            with socket.socket(family, kind, protocol) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind(address)
        except (OSError, OverflowError) as error:
            reason = error.strerror if isinstance(error, OSError) else error
            raise PortTakenError(
                f"Can't listen on {host} port {port}: {reason}. Set another port with {how}."
            ) from None


def _answers(url: str) -> bool:
    try:
        with direct.open(url, timeout=1) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def _listens(host: str, port: int) -> bool:
    try:
        with socket.create_connection((host, port), timeout=1):
            return True
    except OSError:
        return False


def _gateway_listens(options: Options) -> bool:
    """Whether the gateway process listens on all its ports."""
    return all(_listens(host, port) for host, port, _ in _gateway_ports(options))


def _gateway_ports(options: Options) -> list[tuple[str, int, str]]:
    """Return host and port of each listener of the gateway process, and how to set the port."""
    ssh = (options.ssh_host, options.ssh_port, "--ssh-port or STINT_SSH_PORT")
    postgres = (
        options.postgres_host,
        options.postgres_port,
        "--postgres-port or STINT_POSTGRES_GATEWAY_PORT",
    )
    web = (options.gateway_host, options.gateway_port, "--gateway-port or STINT_GATEWAY_PORT")
    return [ssh, postgres, web]


def _say_ready(options: Options) -> None:
    gateway = f"{options.ssh_host} port {options.ssh_port}"
    sys.stdout.write(f"Stint is ready: {options.url} (SSH gateway: {gateway})\n")
    sys.stdout.flush()
