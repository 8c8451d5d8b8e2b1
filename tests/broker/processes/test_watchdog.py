"""What systemd is told: that a process serves once it does, and no more once it hangs."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from broker.demo.ports import free_port
from broker.direct import direct
from broker.embedded.state import temporary_state_dir
from broker.embedded.valkey import EmbeddedValkey
from broker.processes.argv import gateway_argv
from tests.environment import ROOT
from tests.support.pace import allow
from tests.support.world.acts import Started, wait_for_waiters

pytestmark = pytest.mark.timing

READY, ALIVE = b"READY=1", b"WATCHDOG=1"


class Systemd:
    """The socket at which systemd hears of a process."""

    def __init__(self, folder: Path) -> None:
        self.address = str(folder / "notify")
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(self.address)

    def hears(self, within: float) -> bytes:
        """The next message; empty if none comes in time."""
        self._socket.settimeout(within)
        try:
            return self._socket.recv(512)
        except TimeoutError:
            return b""

    def hears_no_more(self, for_seconds: float) -> bool:
        """Whether nothing comes for so long, after what had been sent already."""
        self._socket.settimeout(0.1)
        with contextlib.suppress(TimeoutError):
            while self._socket.recv(512):
                pass
        return self.hears(for_seconds) == b""


@pytest.fixture
def systemd():
    with temporary_state_dir("stint-notify-") as folder:
        yield Systemd(folder)


@contextlib.contextmanager
def watched(systemd: Systemd, argv: list[str], env: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    """A process that systemd wants to hear of each 0.9 s, in a group of its own."""
    told = {"NOTIFY_SOCKET": systemd.address, "WATCHDOG_USEC": "900000"}
    process = subprocess.Popen(
        [sys.executable, *argv],
        cwd=ROOT,
        env={**env, **told},
        stdin=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


REPORTS = """
import pathlib, sys, time
from broker.processes.watchdog import report
state = pathlib.Path(sys.argv[1])
def serves():
    if state.read_text() == "broken":
        raise RuntimeError
    return state.read_text() == "yes"
report(serves)
time.sleep(600)
"""


def test_it_is_ready_when_it_serves_and_alive_for_as_long_as_it_does(systemd, tmp_path):
    state = tmp_path / "state"
    state.write_text("no")
    with watched(systemd, ["-c", REPORTS, str(state)], dict(os.environ)):
        assert systemd.hears_no_more(1.5)
        state.write_text("yes")
        assert [systemd.hears(allow(20)) for _ in range(3)] == [READY, ALIVE, ALIVE]
        for hangs in ("no", "broken"):
            state.write_text(hangs)
            assert systemd.hears_no_more(1.5)
            state.write_text("yes")
            assert systemd.hears(allow(20)) == ALIVE


def test_without_systemd_nothing_is_reported(tmp_path):
    env = {name: value for name, value in os.environ.items() if name != "NOTIFY_SOCKET"}
    script = (
        "import threading; from broker.processes.watchdog import report; report(print);"
        " print(threading.active_count())"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, env=env, capture_output=True, text=True, check=True
    )
    assert done.stdout == "1\n"


def test_a_web_process_whose_threads_all_hang_is_not_alive_until_they_do_no_more(
    systemd, stint_db, owner_connection
):
    port = free_port()
    env = {**stint_db.env, "STINT_HEALTH_URL": f"http://127.0.0.1:{port}/healthz"}

    def ask() -> None:
        request = urllib.request.Request(
            f"http://127.0.0.1:{port}/api/v1/me", headers={"Authorization": "Bearer x"}
        )
        with contextlib.suppress(OSError):
            direct.open(request, timeout=allow(60))

    with watched(systemd, ["manage.py", "serve", "web", "--port", str(port)], env):
        assert [systemd.hears(allow(40)) for _ in range(2)] == [READY, ALIVE]
        with owner_connection.transaction():
            owner_connection.execute("LOCK TABLE accounts_apitoken IN ACCESS EXCLUSIVE MODE")
            asking = [Started(ask) for _ in range(8)]
            wait_for_waiters(owner_connection, 4)
            assert systemd.hears_no_more(3)
        for one in asking:
            one.result()
        assert systemd.hears(allow(20)) == ALIVE


def test_a_streams_process_without_a_database_is_alive(systemd, stint_db):
    port = free_port()
    env = {**stint_db.env, "STINT_HEALTH_URL": f"http://127.0.0.1:{port}/healthz"}
    env["DATABASE_URL"] = "postgresql://nobody@127.0.0.1:1/none"
    with watched(systemd, ["manage.py", "serve", "streams", "--port", str(port)], env):
        assert [systemd.hears(allow(40)) for _ in range(3)] == [READY, ALIVE, ALIVE]


def test_a_worker_and_a_gateway_report_themselves(systemd, stint_db):
    names = ("STINT_SSH_PORT", "STINT_POSTGRES_GATEWAY_PORT", "STINT_GATEWAY_PORT")
    ports = {name: str(free_port()) for name in names}
    with temporary_state_dir("stint-queue-") as folder, EmbeddedValkey(folder) as valkey:
        for argv in (["manage.py", "serve", "worker"], gateway_argv()):
            with watched(systemd, argv, {**stint_db.env, **ports, "REDIS_URL": valkey.celery_url()}):
                assert [systemd.hears(allow(40)) for _ in range(3)] == [READY, ALIVE, ALIVE]
            assert systemd.hears_no_more(1)
