"""Run Stint and real targets in a temporary folder, play the demo, then serve the pages. Everything is
removed at the end.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from broker.demo.agent import Agent
from broker.demo.database import BROKER, ShopDatabase
from broker.demo.desk import Desk
from broker.demo.kube import Kube, usable_kubectl
from broker.demo.pipelines import Pipelines
from broker.demo.ports import free_port
from broker.demo.prices import Prices
from broker.demo.release_catalog import release_files
from broker.demo.sshd import NoSSHServer, usable_sshd
from broker.demo.targets import Targets
from broker.demo.tickets import NoNginx, TicketsApi, usable_nginx
from broker.direct import direct
from broker.embedded.errors import EmbeddedError
from broker.embedded.state import REPOSITORY, temporary_state_dir

_READY_WITHIN = 60.0
# Environment variables that would select a Stint other than the demo's own.
_OURS = ("DATABASE_URL", "DATABASE_OWNER_URL", "REDIS_URL")


@dataclass(frozen=True)
class Ports:
    """The ports that the demo listens on."""

    web: int
    streams: int
    ssh: int
    postgres: int
    gateway: int

    @property
    def url(self) -> str:
        """The address of the pages."""
        return f"http://127.0.0.1:{self.web}"


class DemoFailed(Exception):
    """The demo could not continue. The message gives the reason."""


def command_line() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = argparse.ArgumentParser(prog="manage.py demo", description=__doc__)
    parser.add_argument(
        "--once", action="store_true", help="exit after the demo instead of serving the pages"
    )
    return parser


def main(argv: Sequence[str]) -> int:
    """Play the demo. Return 0 if every step succeeded."""
    once = command_line().parse_args(argv).once
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        # Check these before anything is started.
        usable_sshd()
        usable_nginx()
        usable_kubectl()
        with temporary_state_dir("stint-demo-") as folder:
            return _play(folder, once=once)
    except KeyboardInterrupt:
        return 130
    except (DemoFailed, EmbeddedError, NoNginx, NoSSHServer) as error:
        sys.stderr.write(f"stint: {error}\n")
        return 1


def _play(folder: Path, *, once: bool) -> int:
    say = _Progress()
    with contextlib.ExitStack() as stack:
        ports = _ports(serving=not once)
        say("Starting Stint with its own PostgreSQL and Valkey")
        log = stack.enter_context((folder / "stint.log").open("wb"))
        stack.enter_context(run_stint(folder, ports, log))
        _use(folder, ports)
        # Django can be set up only now that there is a database.
        from broker.demo.catalog import Login  # noqa: PLC0415
        from broker.demo.world import Cast, ca_public_keys, people  # noqa: PLC0415
        from sessions_app.connectors.postgres.setup import target_setup  # noqa: PLC0415

        say("Starting four SSH targets, each a real sshd with two small services")
        targets = stack.enter_context(Targets(folder, ca_public_keys()))
        say("Starting PostgreSQL, an API behind nginx, an API behind Stint's gateway, and an MCP server")
        shop = stack.enter_context(ShopDatabase(folder / "shop"))
        shop.fill(target_setup(broker=BROKER))
        tickets = stack.enter_context(TicketsApi(folder / "nginx", ports.url))
        prices = stack.enter_context(Prices())
        desk = stack.enter_context(Desk())
        say("Starting a simulated Kubernetes API, taken from Stint's tests, and a pipeline system")
        kube = stack.enter_context(Kube(folder / "kube"))
        pipelines = stack.enter_context(Pipelines(ports.url))
        passwords = {name: secrets.token_urlsafe(9) for name in ("priya", "mara", "jonas", "admin")}
        cast: Cast = people(
            folder,
            targets.hosts,
            passwords,
            ports.url,
            database=Login(shop.port, shop.broker_password),
            tickets=Login(tickets.port, tickets.proxy_key),
            prices=Login(prices.port, prices.key),
            desk=Login(desk.port, desk.token),
            release=release_files(kube, pipelines),
        )
        say("Ready. Playing the steps")
        from broker.demo.story import Story  # noqa: PLC0415

        good = Story(
            cast=cast,
            folder=folder,
            ssh_port=ports.ssh,
            targets=targets,
            shop=shop,
            tickets=tickets,
            prices=prices,
            desk=desk,
            kube=kube,
            pipelines=pipelines,
            agent=Agent(f"http://127.0.0.1:{ports.streams}/mcp"),
        ).play()
        say("All steps passed" if good else f"A step failed\n{_last_words(folder)}")
        if not once:
            _serve(ports, passwords)
        return 0 if good else 1


class _Progress:
    """A progress printer that shows the seconds since the start."""

    def __init__(self) -> None:
        self._began = time.monotonic()

    def __call__(self, text: str) -> None:
        sys.stdout.write(f"[{time.monotonic() - self._began:5.1f} s] {text}\n")
        sys.stdout.flush()


def _ports(*, serving: bool) -> Ports:
    """Return the default ports if they are free and the pages will be served, otherwise any free ports."""
    usual = (8000, 8001, 2222, 5433, 8443)
    if serving and all(_is_free(port) for port in usual):
        return Ports(*usual)
    return Ports(*(free_port() for _ in usual))


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


@contextlib.contextmanager
def run_stint(folder: Path, ports: Ports, log: object) -> Iterator[dict[str, str]]:
    """Run `manage.py up` in the folder until the block ends. Yield the environment in which other commands
    use it.
    """
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("STINT_") and name not in _OURS
    }
    environment |= {
        "STINT_STATE_DIR": str(folder),
        "STINT_HTTP_PORT": str(ports.web),
        "STINT_STREAMS_PORT": str(ports.streams),
        "STINT_SSH_PORT": str(ports.ssh),
        "STINT_POSTGRES_GATEWAY_PORT": str(ports.postgres),
        "STINT_GATEWAY_PORT": str(ports.gateway),
        "STINT_PUBLIC_URL": ports.url,
        "NO_COLOR": "1",
    }
    command = [sys.executable, str(REPOSITORY / "manage.py"), "up"]
    # In its own session, so that Ctrl-C reaches only the demo, which then stops Stint.
    running = subprocess.Popen(
        command,
        cwd=REPOSITORY,
        env=environment,
        stdout=log,
        stderr=subprocess.STDOUT,
        start_new_session=True,  # type: ignore[call-overload]
    )
    try:
        _wait(running, ports, folder)
        yield environment
    finally:
        running.send_signal(signal.SIGINT)
        try:
            running.wait(timeout=10)
        except subprocess.TimeoutExpired:
            running.kill()


def _wait(running: subprocess.Popen[bytes], ports: Ports, folder: Path) -> None:
    deadline = time.monotonic() + _READY_WITHIN
    while time.monotonic() < deadline:
        if running.poll() is not None:
            break
        if _is_ready(ports):
            return
        time.sleep(0.1)
    raise DemoFailed(f"Stint did not become ready.\n{_last_words(folder)}")


def _last_words(folder: Path) -> str:
    log = (folder / "stint.log").read_text(encoding="utf-8", errors="replace")
    return f"The end of Stint's log:\n{log[-4000:]}"


def _is_ready(ports: Ports) -> bool:
    try:
        with direct.open(f"{ports.url}/readyz", timeout=1):
            return not _is_free(ports.ssh)
    except OSError:
        return False


def _use(folder: Path, ports: Ports) -> None:
    """Configure this process to use the running Stint."""
    for name in [name for name in os.environ if name.startswith("STINT_") or name in _OURS]:
        del os.environ[name]
    os.environ |= {
        "STINT_STATE_DIR": str(folder),
        "STINT_PUBLIC_URL": ports.url,
        "STINT_SSH_PORT": str(ports.ssh),
        "STINT_POSTGRES_GATEWAY_PORT": str(ports.postgres),
        "STINT_GATEWAY_PORT": str(ports.gateway),
        "STINT_LOG_LEVEL": "WARNING",
        "DJANGO_SETTINGS_MODULE": "broker.settings",
    }
    import django  # noqa: PLC0415  # settings need the database that was just started

    django.setup()


def _serve(ports: Ports, passwords: dict[str, str]) -> None:
    sys.stdout.write(f"\nStint is running at {ports.url}. Press Ctrl-C to stop it. Sign in as:\n")
    roles = {
        "priya": "requests access, and can use break-glass access",
        "mara": "approves for security",
        "jonas": "approves as a service owner",
        "admin": "administers Stint",
    }
    for name, password in passwords.items():
        sys.stdout.write(f"  {name:6} {password}   {roles[name]}\n")
    sys.stdout.flush()
    with contextlib.suppress(KeyboardInterrupt):
        signal.pause()
