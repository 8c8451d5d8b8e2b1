"""`manage.py up` from an empty folder: the time until it is ready, and its memory when idle."""

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from broker.demo.ports import free_port
from broker.embedded.state import temporary_state_dir
from tests.bench.report import Report, median
from tests.environment import ROOT
from tests.support.waits import eventually

STARTS = 3
IDLE_AFTER_S = 20.0
CONFIGURED = {"DATABASE_URL", "DATABASE_OWNER_URL", "REDIS_URL", "STINT_SECRET_KEY", "STINT_STATE_DIR"}


def run(report: Report) -> None:
    """Measure."""
    took = []
    for number in range(1, STARTS + 1):
        with _up() as (process, seconds):
            took.append(seconds)
            if number == STARTS:
                _memory(report, process.pid)
    report.note(f"ready after {', '.join(f'{each:.2f}' for each in took)} s")
    report.figure("whole stack, from an empty folder to ready, median", median(took), "s", most=5)


def _memory(report: Report, pid: int) -> None:
    time.sleep(IDLE_AFTER_S)
    sizes: dict[str, float] = {}
    for each in [pid, *_below(pid)]:
        # A database connection may have been closed in the meantime.
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            name, size = _name(each), _megabytes(each)
            sizes[name] = sizes.get(name, 0) + size
    report.note(", ".join(f"{name} {size:.0f} MB" for name, size in sizes.items()))
    report.figure("whole stack, idle, proportional set size", sum(sizes.values()), "MB", most=400)


@contextlib.contextmanager
def _up() -> Iterator[tuple[subprocess.Popen[bytes], float]]:
    """Yield a running `manage.py up`, and the seconds until it was ready."""
    env = {name: value for name, value in os.environ.items() if name not in CONFIGURED}
    with temporary_state_dir("stint-bench-") as state, tempfile.TemporaryFile() as log:
        names = ("--port", "--streams-port", "--ssh-port", "--postgres-port", "--gateway-port")
        ports = [word for name in names for word in (name, str(free_port()))]
        began = time.monotonic()
        process = subprocess.Popen(
            [sys.executable, "manage.py", "up", *ports],
            cwd=ROOT,
            env={**env, "STINT_STATE_DIR": str(state)},
            stdin=subprocess.DEVNULL,
            stdout=log.fileno(),
            stderr=subprocess.STDOUT,
        )
        try:
            eventually(lambda: _is_ready(process, log), within=60)
            yield process, time.monotonic() - began
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(20)


def _is_ready(process: subprocess.Popen[bytes], log: BinaryIO) -> bool:
    said = os.pread(log.fileno(), 1_000_000, 0).decode(errors="replace")
    assert process.poll() is None, said
    return "Stint is ready" in said


def _below(pid: int) -> list[int]:
    """Return all descendants of a process."""
    found = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in (task / "children").read_text(encoding="ascii").split():
            found += [int(child), *_below(int(child))]
    return found


def _name(pid: int) -> str:
    """Return the kind of a Stint process: its name, or a word of its command line."""
    parts = [Path(f"/proc/{pid}/{part}").read_bytes() for part in ("comm", "cmdline")]
    words = b" ".join(parts).decode(errors="replace")
    known = (
        "stint-web",
        "stint-streams",
        "stint-worker",
        "stint-gateway",
        "broker.processes.fork_server",
        "guard.py",
        "valkey",
        "postgres",
    )
    return next((word for word in known if word in words), "supervisor")


def _megabytes(pid: int) -> float:
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) / 1024
    raise AssertionError(f"the kernel does not tell the memory of process {pid}")
