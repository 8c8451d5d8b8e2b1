"""A pytest plugin: ends processes that tests leave running, and reports each failure once."""

import contextlib
import os
import secrets
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.waits import eventually

# Every process that a run starts inherits this in its environment, and no other run has the same.
MARK = "STINT_TEST_RUN"
_failed = pytest.StashKey[bool]()

# Whether a process, given by its folder in /proc, is to be ended.
Chosen = Callable[[Path], bool]


@pytest.fixture(scope="session", autouse=True)
def _nothing_is_left_running() -> Iterator[None]:
    """End all processes that the tests of this process left running."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(MARK, secrets.token_hex(8))
        yield
        end_all(started_with(MARK, os.environ[MARK]))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """Show an error in the teardown of a failed test below its failure, and don't count it separately."""
    report = yield
    if report.failed and report.when == "teardown" and _failed in item.stash:
        report.sections.append(("Raised at teardown", report.longreprtext))
        report.outcome, report.longrepr = "passed", None
    elif report.failed:
        item.stash[_failed] = True
    return report


def mark() -> dict[str, str]:
    """Return the mark, for the environment of processes that don't inherit it."""
    return {MARK: os.environ[MARK]}


def started_with(name: str, value: str) -> Chosen:
    """Choose processes that started with a variable in their environment."""
    entry = f"{name}={value}".encode()
    return lambda process: entry in (process / "environ").read_bytes().split(b"\0")


def within(namespace: str, pid: int) -> Chosen:
    """Choose processes in the namespace of a process (proc_pid_ns(5)), unless that is this machine's own."""
    shared, own = (Path(f"/proc/{one}/ns/{namespace}").readlink() for one in (pid, "self"))
    assert shared != own
    return lambda process: (process / "ns" / namespace).readlink() == shared


@contextlib.contextmanager
def holding(holder: subprocess.Popen[bytes], namespace: str) -> Iterator[None]:
    """Wait until a process reports that its namespaces exist, and end all processes in one of them with the
    block.
    """
    assert holder.stdout is not None
    with holder, contextlib.ExitStack() as stack:
        stack.callback(holder.kill)
        assert holder.stdout.readline() == b"made\n"
        stack.callback(end_all, within(namespace, holder.pid))
        yield


def end_all(chosen: Chosen) -> None:
    """Kill the chosen processes, and those that they start meanwhile, until none is left."""
    eventually(lambda: not [_kill(pid) for pid in chosen_pids(chosen)], every=0.01)


def _kill(pid: int) -> int:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
    return pid


def chosen_pids(chosen: Chosen) -> Iterator[int]:
    """Yield the ids of the chosen processes."""
    for process in Path("/proc").glob("[0-9]*"):
        # A process that has ended meanwhile, or that belongs to another user.
        with contextlib.suppress(OSError):
            if chosen(process):
                yield int(process.name)
