"""A pytest plugin: what tests leave running is ended, and a failure is reported once."""

import contextlib
import os
import secrets
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.waits import eventually

# What a run starts inherits this in its environment, and no other run has the same.
MARK = "STINT_TEST_RUN"
_failed = pytest.StashKey[bool]()

# Says of a process, given as its folder in /proc, whether it is meant.
Chosen = Callable[[Path], bool]


@pytest.fixture(scope="session", autouse=True)
def _nothing_is_left_running() -> Iterator[None]:
    """End at last what the tests of this process started."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(MARK, secrets.token_hex(8))
        yield
        end_all(started_with(MARK, os.environ[MARK]))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """Show what the teardown of a failed test raises below its failure, and don't count it as another."""
    report = yield
    if report.failed and report.when == "teardown" and _failed in item.stash:
        report.sections.append(("Raised at teardown", report.longreprtext))
        report.outcome, report.longrepr = "passed", None
    elif report.failed:
        item.stash[_failed] = True
    return report


def mark() -> dict[str, str]:
    """The mark, for the environment of what does not inherit it."""
    return {MARK: os.environ[MARK]}


def started_with(name: str, value: str) -> Chosen:
    """Choose what started with a variable in its environment."""
    entry = f"{name}={value}".encode()
    return lambda process: entry in (process / "environ").read_bytes().split(b"\0")


def within(namespace: str, pid: int) -> Chosen:
    """Choose what is in the namespace of a process (proc_pid_ns(5)), unless that is this machine's own."""
    shared, own = (Path(f"/proc/{one}/ns/{namespace}").readlink() for one in (pid, "self"))
    assert shared != own
    return lambda process: (process / "ns" / namespace).readlink() == shared


@contextlib.contextmanager
def holding(holder: subprocess.Popen[bytes], namespace: str) -> Iterator[None]:
    """Wait until a process says that its namespaces are made, and end all that is in one of them when the block ends."""
    assert holder.stdout is not None
    with holder, contextlib.ExitStack() as stack:
        stack.callback(holder.kill)
        assert holder.stdout.readline() == b"made\n"
        stack.callback(end_all, within(namespace, holder.pid))
        yield


def end_all(chosen: Chosen) -> None:
    """Kill the chosen processes, and what they start meanwhile, until none is left."""
    eventually(lambda: not [_kill(pid) for pid in chosen_pids(chosen)], every=0.01)


def _kill(pid: int) -> int:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
    return pid


def chosen_pids(chosen: Chosen) -> Iterator[int]:
    """The ids of the chosen processes."""
    for process in Path("/proc").glob("[0-9]*"):
        # One that has ended meanwhile, or that belongs to somebody else.
        with contextlib.suppress(OSError):
            if chosen(process):
                yield int(process.name)
