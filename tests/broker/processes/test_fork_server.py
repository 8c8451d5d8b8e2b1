"""The processes of a group are forked from one that has loaded everything, and live on without it."""

import io
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from broker.processes.fork_server import _PR_SET_CHILD_SUBREAPER, ForkServer, ForkServerGone, _prctl
from broker.processes.supervisor import Process, Supervisor
from tests.support.pace import allow
from tests.support.waits import PATIENCE

pytestmark = pytest.mark.processes

REPOSITORY = Path(__file__).resolve().parents[3]


@pytest.fixture
def fork_server():
    yield ForkServer()
    # Otherwise this process would get every orphan of the tests that follow, and it waits for none.
    _prctl(_PR_SET_CHILD_SUBREAPER, 0)


@contextmanager
def group(
    fork_server: ForkServer, *scripts: tuple[str, str], folder: Path, out: io.StringIO
) -> Iterator[Supervisor]:
    """A fork server, and processes that are forked from it, each running a script of Python."""
    processes = [
        Process(
            name="fork-server",
            argv=fork_server.argv,
            ready=fork_server.is_ready,
            ended=fork_server.forget,
            cwd=REPOSITORY,
            inherit=(fork_server.inherited_fd,),
        )
    ]
    for name, script in scripts:
        file = folder / f"{name}.py"
        file.write_text(script)
        processes.append(
            Process(
                name=name,
                argv=[sys.executable, str(file), "one", "two"],
                stage=1,
                cwd=folder,
                fork_server=fork_server,
                ready=lambda name=name: f"{name} began" in out.getvalue(),
            )
        )
    supervisor = Supervisor(processes, out=out, first_delay=0.2)
    thread = threading.Thread(target=supervisor.run)
    thread.start()
    try:
        assert supervisor.ready.wait(60), out.getvalue()
        yield supervisor
    finally:
        supervisor.stop()
        thread.join(PATIENCE)
        assert not thread.is_alive()


def until(condition: Callable[[], bool], seconds: float = 30) -> bool:
    last = time.monotonic() + allow(seconds)
    while not condition() and time.monotonic() < last:
        time.sleep(0.02)
    return condition()


def said(out: io.StringIO, name: str, word: str) -> list[str]:
    """What follows the word in the lines of a process."""
    lines = [line.partition("| ")[2] for line in out.getvalue().splitlines() if line.startswith(name)]
    return [line.removeprefix(word).strip() for line in lines if line.startswith(word)]


BEGIN = """
import os, sys, time
print("{0} began", flush=True)
print("pid", os.getpid(), flush=True)
"""
LASTING = BEGIN + "time.sleep(600)\n"


def test_a_forked_process_has_everything_loaded_and_a_name_and_place_of_its_own(fork_server, tmp_path):
    out = io.StringIO()
    script = (
        BEGIN
        + """
print("loaded", "sessions_app.gateways.ssh.endpoint" in sys.modules, flush=True)
print("words", sys.argv[1:], os.getcwd(), flush=True)
print("name", open("/proc/self/comm").read().strip(), flush=True)
print("leads", os.getsid(0) == os.getpid(), flush=True)
print("open", sorted(int(fd) for fd in os.listdir("/proc/self/fd"))[:4], flush=True)
print("to stderr", file=sys.stderr, flush=True)
time.sleep(600)
"""
    )
    with group(fork_server, ("web", script.replace("{0}", "web")), folder=tmp_path, out=out):
        assert until(lambda: said(out, "web", "to stderr"))
    assert said(out, "web", "loaded") == ["True"]
    assert said(out, "web", "words") == [f"['one', 'two'] {tmp_path}"]
    assert said(out, "web", "name") == ["stint-web"]
    assert said(out, "web", "leads") == ["True"]


def test_a_forked_process_that_dies_is_forked_again_and_its_end_is_told(fork_server, tmp_path):
    out = io.StringIO()
    script = BEGIN.replace("{0}", "brief") + "time.sleep(0.5); sys.exit(3)\n"
    with group(fork_server, ("brief", script), folder=tmp_path, out=out):
        assert until(lambda: len(said(out, "brief", "pid")) >= 2)
    assert "brief exited (status 3)" in out.getvalue()


def test_an_error_is_shown_as_python_shows_it(fork_server, tmp_path):
    out = io.StringIO()
    script = BEGIN.replace("{0}", "faulty") + "time.sleep(0.3); raise LookupError('no such thing')\n"
    with group(fork_server, ("faulty", script), folder=tmp_path, out=out):
        assert until(lambda: "faulty exited (status 1)" in out.getvalue())
    assert "LookupError: no such thing" in out.getvalue()


def test_the_death_of_the_fork_server_ends_nobody_and_it_comes_back(fork_server, tmp_path):
    out = io.StringIO()
    with group(fork_server, ("web", LASTING.replace("{0}", "web")), folder=tmp_path, out=out):
        assert until(lambda: bool(said(out, "web", "pid")))
        (first,) = said(out, "web", "pid")
        os.kill(_fork_server_pid(fork_server), signal.SIGKILL)
        assert until(lambda: "fork-server exited (signal SIGKILL)" in out.getvalue())
        # Forked again from the new one, after the old one is gone and the process too.
        os.kill(int(first), signal.SIGKILL)
        assert until(lambda: len(said(out, "web", "pid")) == 2, 60), out.getvalue()
    assert "web exited (signal SIGKILL)" in out.getvalue()


def test_nothing_of_the_group_is_left_when_it_stops(fork_server, tmp_path):
    out = io.StringIO()
    child = "import subprocess; subprocess.Popen(['sleep', '600'])\n"
    script = BEGIN.replace("{0}", "web") + child + "time.sleep(600)\n"
    with group(fork_server, ("web", script), folder=tmp_path, out=out):
        assert until(lambda: bool(said(out, "web", "pid")))
        (pid,) = map(int, said(out, "web", "pid"))
    with pytest.raises(ProcessLookupError):
        os.killpg(pid, 0)


def test_a_fork_server_that_is_not_there_is_said_to_be_loading(fork_server, tmp_path):
    with pytest.raises(ForkServerGone, match="still loading"):
        fork_server.fork(name="web", argv=[sys.executable, "x.py"], cwd=tmp_path, death_signal=signal.SIGTERM)


def _fork_server_pid(fork_server: ForkServer) -> int:
    """The process that was started for this one: those of tests that run beside this one may have the same
    words.
    """
    wanted = f"broker.processes.fork_server\0{fork_server.inherited_fd}\0".encode()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                command, status = (entry / "cmdline").read_bytes(), (entry / "status").read_text()
            except OSError:
                continue
            if wanted in command and f"\nPPid:\t{os.getpid()}\n" in status and "Name:\tstint-" not in status:
                return int(entry.name)
    raise AssertionError("there is no fork_server")
