"""A supervisor for a group of processes, which merges their logs, restarts them with backoff, and stops them
together.

Each process leads its own session, so that the terminal's Ctrl-C reaches only the supervisor, which then
stops all processes in reverse order. If the supervisor is killed, the kernel signals each process, and a
guard ends the rest of its process group.
"""

from __future__ import annotations

import contextlib
import os
import random
import selectors
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import TextIO

from broker.embedded.account import launch_argv
from broker.embedded.guard import signal_group
from broker.processes.fork_server import Forked, ForkServer, ForkServerGone

_GUARD = Path(__file__).resolve().parent.parent / "embedded" / "guard.py"
_FIRST_DELAY_S, _LONGEST_DELAY_S, _HEALTHY_S = 0.5, 30.0, 60.0
_LOUD_DEATHS, _LOUD_WITHIN_S = 5, 30.0
# Seconds within which all processes stop. The first stage (databases) stops last, in the time that remains.
_STOP_OTHERS_S, _STOP_ALL_S = 3.0, 4.5
_SETTLED_S = 1.5
_TICK_S = 0.1
_COLORS = {"grey": 90, "red": 31, "green": 32, "yellow": 33, "blue": 34, "magenta": 35, "cyan": 36}


@dataclass(frozen=True, kw_only=True)
class Process:
    """One process of a group.

    `stage`: the process starts when all lower stages are ready, and stops before them. `early`: it starts
    together with the stage below, because it doesn't depend on it. `ready` returns whether it is ready; by
    default, it counts as ready after 1.5 s. `once`: it is ready when it has exited with status 0. All other
    processes are restarted when they exit, after a call of `ended`. `env` None means the supervisor's
    environment. `inherit` lists descriptors that the process inherits. `fork_server`: the process is forked
    from this fork server, with the fork server's environment, instead of being started. `hidden`: log lines
    with this text are not shown.
    """

    name: str
    argv: Sequence[str]
    env: Mapping[str, str] | None = field(default=None, repr=False)
    color: str = ""
    stage: int = 0
    ready: Callable[[], bool] | None = None
    once: bool = False
    early: bool = False
    cwd: Path | None = None
    stop_signal: signal.Signals = signal.SIGTERM
    inherit: tuple[int, ...] = ()
    ended: Callable[[], None] | None = None
    fork_server: ForkServer | None = None
    hidden: str = ""


class _Child:
    """The lifecycle of one process: the running instance, and when it may be restarted."""

    def __init__(self, process: Process, first_delay: float) -> None:
        self.process = process
        self._first_delay = first_delay
        self.running: subprocess.Popen[bytes] | Forked | None = None
        self.ready = False
        self.start_at = 0.0
        self.started = 0.0
        self.buffer = b""
        self._failures = 0
        self._deaths: deque[float] = deque(maxlen=_LOUD_DEATHS)
        self.said_loudly = False

    def may_start(self, now: float) -> bool:
        """Whether the process should be running but isn't, and may be started now."""
        done = self.process.once and self.ready
        return self.running is None and now >= self.start_at and not done

    def look(self, now: float) -> None:
        """Update whether the process is ready."""
        if self.running is not None and not self.ready and not self.process.once:
            settled = now - self.started >= _SETTLED_S
            self.ready = settled if self.process.ready is None else self.process.ready()

    def died(self, now: float) -> float:
        """Record an unexpected end. Return the seconds until the restart."""
        if now - self.started >= _HEALTHY_S:
            self._failures, self.said_loudly = 0, False
        self._deaths.append(now)
        jitter = random.uniform(0.75, 1.25)  # noqa: S311  # not a secret; it spreads restarts
        delay: float = min(self._first_delay * 2**self._failures, _LONGEST_DELAY_S) * jitter
        self._failures += 1
        self.start_at = now + delay
        return delay

    def keeps_dying(self, now: float) -> bool:
        """Whether to report now that the process keeps failing. The result is True only once."""
        often = len(self._deaths) == _LOUD_DEATHS and now - self._deaths[0] <= _LOUD_WITHIN_S
        self.said_loudly, say = self.said_loudly or often, often and not self.said_loudly
        return say


class Supervisor:
    """A supervisor that runs `processes` until `stop()`, SIGINT, SIGTERM or SIGHUP.

    When all processes are ready, `ready` is set and `on_ready` is called, once. `run()` blocks. Call it once,
    in a thread that lives as long as the group. `first_delay` is the number of seconds before the first
    restart, doubled each time, up to 30.
    """

    def __init__(
        self,
        processes: Sequence[Process],
        *,
        on_ready: Callable[[], None] | None = None,
        out: TextIO | None = None,
        first_delay: float = _FIRST_DELAY_S,
    ) -> None:
        self.ready = threading.Event()
        self._children = [_Child(process, first_delay) for process in sorted(processes, key=_stage)]
        self._on_ready = on_ready
        self._out = out or sys.stdout
        self._colors = self._out.isatty() and "NO_COLOR" not in os.environ
        self._width = max((len(process.name) for process in processes), default=0)
        self._selector = selectors.DefaultSelector()
        self._wake, self._woken = socket.socketpair()
        self._wake.setblocking(False)
        self._stops = 0
        self._failed = False
        self._graves: set[int] = set()
        self._guard: subprocess.Popen[bytes] | None = None

    def run(self) -> int:
        """Start all processes, keep them running, and stop them at the end. Return 0, or 1 if a `once`
        process failed.
        """
        self._selector.register(self._woken, selectors.EVENT_READ)
        with self._signals(), self._guarded():
            try:
                while not self._stops:
                    self._look()
                    self._pump(_TICK_S if self.ready.is_set() else 0.02)
            finally:
                self._stop_all()
        return 1 if self._failed else 0

    def stop(self) -> None:
        """Make `run()` stop all processes and return. A second call kills them.

        Callable from any thread or signal handler.
        """
        self._stops += 1
        with contextlib.suppress(BlockingIOError):
            self._wake.send(b"x")

    # --- Starting and restarting ---

    def _look(self) -> None:
        now = time.monotonic()
        self._bury()
        for child in self._children:
            if child.running is not None and child.running.poll() is not None:
                self._ended(child, now)
        reached = self._reached()
        for child in self._children:
            stage = child.process.stage
            if stage - child.process.early <= reached and child.may_start(now):
                self._start(child)
            if stage <= reached:
                child.look(now)
        if not self.ready.is_set() and all(child.ready for child in self._children):
            self.ready.set()
            if self._on_ready:
                self._on_ready()

    def _reached(self) -> int:
        """Return the highest stage whose lower stages are all ready."""
        stages = [child.process.stage for child in self._children]
        return min((child.process.stage for child in self._children if not child.ready), default=max(stages))

    def _start(self, child: _Child) -> None:
        try:
            running = child.running = _started(child.process)
        except ForkServerGone as error:
            delay = child.died(time.monotonic())
            self._say(
                f"{child.process.name} could not be started; retrying in {delay:.1f} s: {error}", "yellow"
            )
            return
        child.started = time.monotonic()
        self._tell_guard("+", running.pid)
        output = running.stdout
        if output is not None:
            os.set_blocking(output.fileno(), False)
            self._selector.register(output, selectors.EVENT_READ, child)

    def _ended(self, child: _Child, now: float) -> None:
        status = self._reap(child)
        if child.process.ended is not None:
            child.process.ended()
        if child.process.once and status == 0:
            child.ready = True
            return
        if child.process.once:
            self._say(f"{child.process.name} failed ({_describe(status)}). See its log lines above.", "red")
            self._failed = True
            self.stop()
            return
        if not self.ready.is_set():
            child.ready = False
        delay = child.died(now)
        self._say(f"{child.process.name} exited ({_describe(status)}); restarting in {delay:.1f} s", "yellow")
        if child.keeps_dying(now):
            self._say(
                f"{child.process.name} KEEPS FAILING: it exited {_LOUD_DEATHS} times within "
                f"{_LOUD_WITHIN_S:.0f} s. Stint keeps restarting it. See its log lines above.",
                "red",
            )

    def _reap(self, child: _Child) -> int:
        """Clean up after the ended process: kill the rest of its group, and read its last output."""
        running, child.running = child.running, None
        if running is None:
            return 0
        signal_group(running.pid, signal.SIGKILL)
        self._graves.add(running.pid)
        self._tell_guard("-", running.pid)
        if running.stdout is not None:
            self._read(child, running.stdout.fileno())
            self._line(child, child.buffer)
            child.buffer = b""
            self._selector.unregister(running.stdout)
            running.stdout.close()
        return running.returncode or 0

    def _bury(self) -> None:
        """Wait for the orphans of ended processes. The kernel reparents them to this process if it is the
        subreaper.
        """
        for group in list(self._graves):
            try:
                while os.waitpid(-group, os.WNOHANG)[0]:
                    pass
            except ChildProcessError:
                self._graves.discard(group)

    # --- Logs ---

    def _pump(self, seconds: float) -> None:
        for key, _ in self._selector.select(seconds):
            if isinstance(key.data, _Child):
                self._read(key.data, key.fd)
            else:
                self._woken.recv(512)

    def _read(self, child: _Child, fd: int) -> None:
        with contextlib.suppress(BlockingIOError):
            while chunk := os.read(fd, 65536):
                *lines, child.buffer = (child.buffer + chunk).split(b"\n")
                for line in lines:
                    self._line(child, line)

    def _line(self, child: _Child, line: bytes) -> None:
        text, hidden = line.decode("utf-8", "replace").rstrip("\r"), child.process.hidden
        if text and not (hidden and hidden in text):
            # Log lines may contain untrusted text, which must not control the reader's terminal.
            shown = "".join(c if c.isprintable() or c == "\t" else repr(c)[1:-1] for c in text)
            self._write(child.process.name, child.process.color, shown)

    def _say(self, text: str, color: str) -> None:
        self._write("stint", color, text)

    def _write(self, name: str, color: str, text: str) -> None:
        prefix = f"{name:<{self._width}} |"
        if self._colors and color in _COLORS:
            prefix = f"\x1b[{_COLORS[color]}m{prefix}\x1b[0m"
        # If the output is closed (a pipe, a terminal), the group keeps running.
        with contextlib.suppress(BrokenPipeError, OSError):
            print(prefix, text, file=self._out, flush=True)

    # --- Stopping ---

    def _stop_all(self) -> None:
        begun = time.monotonic()
        stages = sorted({child.process.stage for child in self._children}, reverse=True)
        for stage in stages:
            limit = _STOP_ALL_S if stage == stages[-1] else _STOP_OTHERS_S
            self._stop_stage([c for c in self._children if c.process.stage == stage], last=begun + limit)
        while self._graves and time.monotonic() < begun + _STOP_ALL_S:
            self._bury()
            time.sleep(0.005)

    def _stop_stage(self, children: list[_Child], *, last: float) -> None:
        for child in children:
            if child.running is not None:
                child.running.send_signal(child.process.stop_signal)
        while any(child.running is not None and child.running.poll() is None for child in children):
            if time.monotonic() > last or self._stops > 1:
                self._kill(children)
            self._pump(0.02)
        for child in children:
            self._reap(child)

    def _kill(self, children: list[_Child]) -> None:
        for child in children:
            if child.running is not None and child.running.poll() is None:
                signal_group(child.running.pid, signal.SIGKILL)

    # --- Signals and the guard ---

    @contextlib.contextmanager
    def _signals(self) -> Iterator[None]:
        """Stop on signals while running. Only the main thread can handle them."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return

        def on_signal(_number: int, _frame: FrameType | None) -> None:
            self.stop()

        wanted = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        before = {number: signal.signal(number, on_signal) for number in wanted}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    @contextlib.contextmanager
    def _guarded(self) -> Iterator[None]:
        argv = [sys.executable, "-I", "-S", str(_GUARD), str(_STOP_OTHERS_S)]
        # The guard doesn't inherit the output. Otherwise, programs that read the output to its end would wait
        # for the guard.
        nowhere = subprocess.DEVNULL
        with subprocess.Popen(
            argv, stdin=subprocess.PIPE, stdout=nowhere, stderr=nowhere, start_new_session=True
        ) as self._guard:
            yield
        self._selector.close()

    def _tell_guard(self, change: str, group: int) -> None:
        if self._guard is not None and self._guard.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                self._guard.stdin.write(f"{change}{group}\n".encode())
                self._guard.stdin.flush()


def _started(process: Process) -> subprocess.Popen[bytes] | Forked:
    if process.fork_server is not None:
        return process.fork_server.fork(
            name=process.name, argv=process.argv, cwd=process.cwd, death_signal=process.stop_signal
        )
    return subprocess.Popen(
        launch_argv(process.argv, account=None, death_signal=process.stop_signal),
        env=process.env,
        cwd=process.cwd,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        pass_fds=process.inherit,
        start_new_session=True,
    )


def _stage(process: Process) -> int:
    return process.stage


def _describe(status: int) -> str:
    return f"signal {signal.Signals(-status).name}" if status < 0 else f"status {status}"
