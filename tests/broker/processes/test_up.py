"""`manage.py up`: all of Stint from an empty folder, and nothing of it left when it ends, however it ends."""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest
import redis

from broker.demo.ports import free_port
from broker.embedded.postgres import OWNER, EmbeddedPostgres
from broker.embedded.state import running_urls, temporary_state_dir
from broker.embedded.valkey import EmbeddedValkey
from broker.processes.up import _environment, main, parse
from tests.support.pace import allow
from tests.support.waits import PATIENCE

pytestmark = pytest.mark.processes

REPOSITORY = Path(__file__).resolve().parents[3]
CONFIGURED = ("DATABASE_URL", "DATABASE_OWNER_URL", "REDIS_URL", "STINT_SECRET_KEY", "STINT_SECRET_KEY_FILE")


class Up:
    """A running `manage.py up` with a state folder and ports of its own."""

    def __init__(self, state: Path, **configured: str) -> None:
        self.state = state
        self.ports = [free_port() for _ in range(5)]
        self.env = {name: value for name, value in os.environ.items() if name not in CONFIGURED}
        self.env["STINT_STATE_DIR"] = str(state)
        # A proxy that nobody runs: what asks this machine's own ports may not go by it.
        self.env |= {"http_proxy": "http://127.0.0.1:9", "no_proxy": "", **configured}
        self.log = state / "up.log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [*self.manage("up"), *self.options()],
                env=self.env,
                cwd=REPOSITORY,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def manage(self, *arguments: str) -> list[str]:
        return [sys.executable, "manage.py", *arguments]

    def options(self) -> list[str]:
        names = ("--port", "--streams-port", "--ssh-port", "--postgres-port", "--gateway-port")
        return [word for name, port in zip(names, self.ports, strict=True) for word in (name, str(port))]

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = self.manage(*arguments)
        return subprocess.run(
            command, env=self.env, cwd=REPOSITORY, capture_output=True, text=True, check=False
        )

    def ready(self) -> bool:
        try:
            with urllib.request.urlopen(
                f"http://127.0.0.1:{self.ports[0]}/readyz", timeout=allow(5)
            ) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def wait_until_ready(self) -> None:
        assert until(lambda: "Stint is ready" in self.said() or self.process.poll() is not None, 60)
        assert "Stint is ready" in self.said(), self.said()

    def said(self) -> str:
        return self.log.read_text(errors="replace")

    def processes(self, word: str = "") -> list[int]:
        """The living processes of this state folder, with `word` in their command."""
        found = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit() and int(entry.name) != os.getpid():
                try:
                    command, environment = (entry / "cmdline").read_bytes(), (entry / "environ").read_bytes()
                    command += (entry / "comm").read_bytes()
                except OSError:
                    continue
                if str(self.state).encode() in command + environment and word.encode() in command:
                    found.append(int(entry.name))
        return found


def until(condition: Callable[[], bool], seconds: float = 20) -> bool:
    last = time.monotonic() + allow(seconds)
    while not condition() and time.monotonic() < last:
        time.sleep(0.05)
    return condition()


@contextmanager
def started(**configured: str) -> Iterator[Up]:
    with temporary_state_dir("stint-up-") as state:
        running = Up(state, **configured)
        try:
            running.wait_until_ready()
            yield running
        finally:
            running.process.kill()
            running.process.wait()
            assert until(lambda: not running.processes())


@pytest.fixture
def up():
    with started() as running:
        yield running


def test_all_starts_from_an_empty_folder_and_ctrl_c_stops_all_within_five_seconds(up):
    assert up.ready()
    # Commands that are run meanwhile find the database by themselves.
    assert "[X] 0001_initial" in up.run("showmigrations", "audit").stdout
    # One group on one folder.
    up_there, up.ports = up.ports, [free_port() for _ in range(5)]
    second = up.run("up", *up.options())
    up.ports = up_there
    assert second.returncode == 1
    assert f"(pid {up.process.pid})" in second.stderr
    # Only migrations ever had the role that can rewrite the record.
    for word in ("stint-web", "stint-streams", "stint-worker", "stint-gateway"):
        for pid in up.processes(word):
            assert b"stint_owner" not in Path(f"/proc/{pid}/environ").read_bytes()
    with urllib.request.urlopen(f"http://127.0.0.1:{up.ports[1]}/healthz", timeout=allow(10)) as answer:
        assert answer.headers["server"] is None

    begun = time.monotonic()
    up.process.send_signal(signal.SIGINT)
    assert up.process.wait(PATIENCE) == 0
    assert time.monotonic() - begun < allow(5)
    assert up.processes() == []
    assert running_urls(up.state) is None
    assert "No database" in up.run("showmigrations").stderr


def test_each_process_that_is_killed_comes_back(up):
    for word in (
        "stint-web",
        "stint-streams",
        "stint-worker",
        "stint-gateway",
        "valkey-server",
        "bin/postgres",
    ):
        before = up.processes(word)
        assert before, word
        os.kill(min(before), signal.SIGKILL)
        assert until(lambda w=word, b=before: set(up.processes(w)) - set(b)), up.said()  # type: ignore[misc]
    assert until(up.ready)


def test_the_schedule_runs_in_the_worker_and_outlives_a_queue_that_dies(up):
    urls = running_urls(up.state)
    assert urls is not None

    def seen() -> datetime | None:
        with psycopg.connect(urls.database) as connection:
            row = connection.execute(
                "SELECT seen_at FROM sessions_app_sweeper WHERE name = 'worker'"
            ).fetchone()
        return row[0] if row else None

    assert until(lambda: seen() is not None)
    os.kill(min(up.processes("valkey-server")), signal.SIGKILL)
    # By then no message from before is left.
    later = datetime.now(UTC) + timedelta(seconds=3)
    assert until(lambda: (seen() or later) > later, 30)


def test_when_it_is_killed_itself_nothing_is_left(up):
    assert len(up.processes()) >= 6
    up.process.send_signal(signal.SIGKILL)
    assert until(lambda: not up.processes())


def test_servers_that_are_configured_are_used_and_none_are_started():
    with temporary_state_dir("stint-servers-") as place, ExitStack() as stack:
        postgres, valkey = EmbeddedPostgres(place), EmbeddedValkey(place)
        for server in (postgres, valkey):
            server.start()
            stack.callback(server.stop)
        urls = {
            "DATABASE_URL": postgres.url(),
            "DATABASE_OWNER_URL": postgres.url(OWNER),
            "REDIS_URL": valkey.celery_url(),
            "STINT_SECRET_KEY": "a key of the administrator's own, long enough",
        }
        with started(**urls) as up:
            assert up.ready()
            assert not up.processes("bin/postgres")
            assert not up.processes("valkey-server")
            assert not [
                path.name for path in up.state.iterdir() if "postgres" in path.name or "valkey" in path.name
            ]
            assert "secret_key" not in {path.name for path in up.state.iterdir()}
            with psycopg.connect(postgres.url()) as connection:
                sweepers = "SELECT count(*) FROM sessions_app_sweeper WHERE name = 'worker'"
                assert until(lambda: connection.execute(sweepers).fetchone() == (1,))
            with redis.Redis.from_url(valkey.url()) as queue:
                # The worker waits for messages.
                assert until(lambda: "brpop" in {client["cmd"] for client in queue.client_list()})
        # They are the administrator's, and go on.
        assert postgres.is_ready()
        assert valkey.is_ready()


def test_a_port_that_is_taken_is_named_before_anything_starts(monkeypatch, capsys):
    with temporary_state_dir() as state, socket.socket() as taken:
        monkeypatch.setenv("STINT_STATE_DIR", str(state))
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert main(["--port", str(port)]) == 1
        assert f"port {port}: Address already in use. Set another port with --port" in capsys.readouterr().err
        assert list(state.iterdir()) == []


def test_options_have_their_defaults_from_the_environment(monkeypatch):
    monkeypatch.setenv("STINT_HTTP_PORT", "9000")
    monkeypatch.setenv("STINT_SSH_PORT", "9022")
    monkeypatch.setenv("STINT_GATEWAY_PORT", "9443")
    options = parse(["--ssh-port", "9023", "--gateway-host", "::1"])
    assert (options.url, options.ssh_port) == ("http://127.0.0.1:9000", 9023)
    assert (options.gateway_host, options.gateway_port) == ("::1", 9443)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, "8001"),
        ({"STINT_PUBLIC_URL": "http://127.0.0.1:8000"}, "8001"),
        ({"STINT_PUBLIC_URL": "https://stint.example.com"}, None),
        ({"STINT_STREAMS_DIRECT_PORT": "9"}, "9"),
    ],
)
def test_without_a_proxy_pages_find_the_streams_at_their_own_port(monkeypatch, tmp_path, given, expected):
    monkeypatch.delenv("STINT_PUBLIC_URL", raising=False)
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    assert _environment(parse([]), tmp_path, None, None).get("STINT_STREAMS_DIRECT_PORT") == expected
