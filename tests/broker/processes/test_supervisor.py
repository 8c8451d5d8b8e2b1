"""A supervised group: started in order, restarted, logged together, and never outliving its supervisor."""

import io
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from broker.embedded.valkey import EmbeddedValkey
from broker.processes import supervisor as module
from broker.processes.supervisor import Process, Supervisor
from tests.support.pace import allow
from tests.support.waits import PATIENCE

pytestmark = pytest.mark.timing

# Ignores polite requests, and so does its child.
STUBBORN = "trap '' TERM INT; sh -c 'echo child $$; sleep 600' & echo own $$; wait; sleep 600"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def shell(name: str, script: str, **facts: object) -> Process:
    return Process(name=name, argv=["sh", "-c", script], **facts)  # type: ignore[arg-type]


@contextmanager
def running(*processes: Process, out: io.StringIO, first_delay: float = 0.5) -> Iterator[Supervisor]:
    supervisor = Supervisor(processes, out=out, first_delay=first_delay)
    thread = threading.Thread(target=supervisor.run)
    thread.start()
    try:
        yield supervisor
    finally:
        supervisor.stop()
        thread.join(PATIENCE)
        assert not thread.is_alive()


@pytest.fixture
def patient(monkeypatch):
    """No process is killed because a busy machine did not let it end in time."""
    monkeypatch.setattr(module, "_STOP_OTHERS_S", 60.0)
    monkeypatch.setattr(module, "_STOP_ALL_S", 90.0)


def until(condition: Callable[[], bool], seconds: float = 15) -> bool:
    last = time.monotonic() + allow(seconds)
    while not condition() and time.monotonic() < last:
        time.sleep(0.02)
    return condition()


def alive(pid: int) -> bool:
    """Whether the process runs; one that ended may still be listed as a zombie until it is collected."""
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False


def numbers(text: str) -> list[int]:
    return [int(found) for found in re.findall(r"(?:own|child) (\d+)", text)]


def test_a_process_that_dies_is_started_again_after_growing_delays():
    out = io.StringIO()
    with running(shell("web", "echo try; exit 3"), out=out):
        assert until(lambda: out.getvalue().count("| try") >= 4)
    delays = [float(found) for found in re.findall(r"status 3\); restarting in ([\d.]+) s", out.getvalue())]
    for delay, middle in zip(delays, (0.5, 1, 2), strict=False):
        assert 0.7 * middle < delay < 1.3 * middle


def test_a_process_that_keeps_dying_is_said_loudly_once_and_still_tried():
    out = io.StringIO()
    with running(shell("web", "exit 1"), out=out, first_delay=0.02):
        assert until(lambda: out.getvalue().count("restarting") >= 7)
    assert out.getvalue().count("KEEPS FAILING: it exited 5 times within 30 s") == 1


def test_a_stage_starts_when_the_one_below_is_ready_and_stops_before_it(tmp_path, patient):
    mark = tmp_path / "mark"
    out = io.StringIO()
    ending = "trap 'echo {0} ends; exit' TERM; echo {0} starts; {1} while :; do sleep 0.05; done"
    database = shell("database", ending.format("database", f"sleep 0.3; touch {mark};"), ready=mark.exists)
    once = shell("migrate", f"test -e {mark} && echo migrated", stage=1, once=True)
    web = shell("web", ending.format("web", ""), stage=2)
    with running(web, once, database, out=out) as supervisor:
        assert supervisor.ready.wait(PATIENCE)
        assert until(lambda: "web starts" in out.getvalue())
    said = [line.split("| ")[1] for line in out.getvalue().splitlines()]
    assert said == ["database starts", "migrated", "web starts", "web ends", "database ends"]


def test_an_early_process_begins_with_the_step_below_and_counts_as_ready_after_it(tmp_path):
    loaded = tmp_path / "loaded"
    out = io.StringIO()
    # The step ends only because the process of the next stage has begun.
    migrate = shell("migrate", f"until test -e {loaded}; do sleep 0.05; done; echo done", stage=1, once=True)
    web = shell(
        "web", f"touch {loaded}; sleep 600", stage=2, early=True, ready=lambda: "done" in out.getvalue()
    )
    with running(web, migrate, out=out) as supervisor:
        assert supervisor.ready.wait(PATIENCE)


def test_what_began_with_a_step_is_stopped_when_the_step_fails(tmp_path, patient):
    began = tmp_path / "began"
    out = io.StringIO()
    migrate = shell("migrate", f"until test -e {began}; do sleep 0.05; done; exit 2", stage=1, once=True)
    script = f"trap 'echo ends; exit' TERM; touch {began}; while :; do sleep 0.05; done"
    web = shell("web", script, stage=2, early=True)
    assert Supervisor([migrate, web], out=out).run() == 1
    assert "web     | ends" in out.getvalue()


def test_a_step_that_fails_stops_the_group_with_status_1_and_nothing_after_it_starts():
    out = io.StringIO()
    database, web = shell("database", "sleep 600"), shell("web", "echo started", stage=2)
    migrate = shell("migrate", "echo broken; exit 2", stage=1, once=True)
    assert Supervisor([database, migrate, web], out=out).run() == 1
    assert "migrate  | broken" in out.getvalue()
    assert "migrate failed (status 2)" in out.getvalue()
    assert "started" not in out.getvalue()


def test_a_group_is_not_ready_while_one_of_it_keeps_dying(monkeypatch):
    # A busy machine may let it live for longer than it wants to.
    monkeypatch.setattr(module, "_SETTLED_S", 30.0)
    out = io.StringIO()
    web, worker = shell("web", "sleep 600", ready=lambda: True), shell("worker", "sleep 0.3; exit 1")
    with running(web, worker, out=out, first_delay=0.02) as group:
        assert until(lambda: out.getvalue().count("worker exited") >= 3)
        assert not group.ready.is_set()


def test_a_program_that_is_missing_is_named():
    out = io.StringIO()
    assert Supervisor([Process(name="once", argv=["/no/such/program"], once=True)], out=out).run() == 1
    assert "can't start /no/such/program: No such file or directory" in out.getvalue()


def test_all_stop_within_five_seconds_even_one_that_ignores_the_request_and_its_child():
    out = io.StringIO()
    processes = [shell("database", "sleep 600"), *(shell(f"web{n}", STUBBORN, stage=1) for n in range(3))]
    with running(*processes, out=out) as supervisor:
        assert until(lambda: len(numbers(out.getvalue())) == 6)
        begun = time.monotonic()
        supervisor.stop()
        assert until(lambda: not any(alive(pid) for pid in numbers(out.getvalue())), 10)
    assert time.monotonic() - begun < allow(5)


def test_a_second_request_does_not_wait(patient):
    out = io.StringIO()
    with running(shell("web", STUBBORN), out=out) as supervisor:
        assert until(lambda: len(numbers(out.getvalue())) == 2)
        begun = time.monotonic()
        supervisor.stop()
        supervisor.stop()
        assert until(lambda: not any(alive(pid) for pid in numbers(out.getvalue())))
    assert time.monotonic() - begun < allow(5)


def test_what_a_dead_process_left_behind_is_ended_before_it_starts_again():
    out = io.StringIO()
    with running(shell("web", "sleep 600 & echo child $!; exit 1"), out=out):
        assert until(lambda: len(numbers(out.getvalue())) >= 2)
        assert not alive(numbers(out.getvalue())[0])


SUPERVISE = """
import sys
from broker.processes import supervisor
from broker.processes.supervisor import Process, Supervisor
# Those that end when they are asked may take as long as the machine makes them.
if "trap '' TERM" not in sys.argv[1]:
    supervisor._STOP_OTHERS_S, supervisor._STOP_ALL_S = 60.0, 90.0
processes = [Process(name=f"p{n}", argv=["sh", "-c", script]) for n, script in enumerate(sys.argv[1:])]
sys.exit(Supervisor(processes).run())
"""


@pytest.fixture
def supervise(processes):
    started: list[subprocess.Popen[str]] = []

    def start(*scripts: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", SUPERVISE, *scripts]
        started.append(subprocess.Popen(command, stdout=subprocess.PIPE, text=True))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.communicate()


def test_a_killed_supervisor_leaves_no_process_not_even_stubborn_ones(
    supervise,
):
    supervisor = supervise(STUBBORN, "sleep 600 & echo child $!; echo own $$; wait")
    assert supervisor.stdout is not None
    pids = [numbers(supervisor.stdout.readline())[0] for _ in range(4)]
    assert all(alive(pid) for pid in pids)
    supervisor.send_signal(signal.SIGKILL)
    assert until(lambda: not any(alive(pid) for pid in pids))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_stops_the_group_in_order_with_status_0(supervise, number):
    supervisor = supervise("trap 'echo good bye; exit' TERM; echo own $$; while :; do sleep 0.05; done")
    assert supervisor.stdout is not None
    supervisor.stdout.readline()
    supervisor.send_signal(number)
    said, _ = supervisor.communicate(timeout=PATIENCE)
    assert "good bye" in said
    assert supervisor.returncode == 0


def test_lines_are_joined_with_names_in_color_on_a_terminal_and_plain_elsewhere(
    monkeypatch,
):
    monkeypatch.delenv("NO_COLOR", raising=False)
    process = shell("web", "echo one; printf two", once=True, color="green")
    terminal, plain, uncolored = Terminal(), io.StringIO(), Terminal()
    for out in (terminal, plain):
        with running(process, out=out) as supervisor:
            assert supervisor.ready.wait(PATIENCE)
    monkeypatch.setenv("NO_COLOR", "1")
    with running(process, out=uncolored) as supervisor:
        assert supervisor.ready.wait(PATIENCE)
    assert terminal.getvalue() == "\x1b[32mweb |\x1b[0m one\n\x1b[32mweb |\x1b[0m two\n"
    assert plain.getvalue() == uncolored.getvalue() == "web | one\nweb | two\n"


def test_a_line_that_does_not_concern_the_reader_is_not_shown():
    out = io.StringIO()
    warning = EmbeddedValkey.hidden
    script = f"echo 1:M 'WARNING {warning}! Without it, a save may fail.'; echo Ready"
    with running(shell("valkey", script, once=True, hidden=warning), out=out) as supervisor:
        assert supervisor.ready.wait(PATIENCE)
    assert out.getvalue() == "valkey | Ready\n"


def test_a_log_line_cannot_steer_the_terminal():
    out = Terminal()
    with running(shell("web", r"printf 'a\033]0;b\007c\303\251\n'", once=True), out=out) as supervisor:
        assert supervisor.ready.wait(PATIENCE)
    assert out.getvalue() == "web | a\\x1b]0;b\\x07cé\n"


def test_descriptors_that_are_passed_on_stay_open_and_others_do_not(tmp_path):
    out = io.StringIO()
    fd = os.open(tmp_path, os.O_RDONLY)
    try:
        script = "readlink /proc/self/fd/{0} || echo closed"
        with running(
            shell("a", script.format(fd), once=True, inherit=(fd,)),
            shell("b", script.format(fd), once=True),
            out=out,
        ) as supervisor:
            assert supervisor.ready.wait(PATIENCE)
    finally:
        os.close(fd)
    assert f"a | {tmp_path}" in out.getvalue()
    assert f"b | {tmp_path}" not in out.getvalue()


def test_what_is_to_be_done_when_a_process_ends_is_done_before_it_starts_again():
    said: list[str] = []
    out = io.StringIO()
    with running(shell("brief", "sleep 0.1", ended=lambda: said.append("ended")), out=out, first_delay=0.1):
        assert until(lambda: len(said) >= 2)
