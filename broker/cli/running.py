"""Run a command, and end its grant when the command ends for any reason."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import FrameType
from typing import Any

from . import remaining
from .errors import CliError, NotSignedIn, Unreachable, Usage
from .heartbeat import Heartbeat
from .screen import clock_time, plain, say
from .shell import Shell

FORWARDED = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2)
# A terminal sends these signals directly to the command, which is also in the foreground.
_FROM_TERMINAL = (signal.SIGINT, signal.SIGQUIT)
# Seconds that a command has to stop when its grant ends, and seconds for which ending the grant is retried
# during an outage.
GRACE, PATIENCE = 10.0, 60.0
_WAKE = b"\0"


class Supervisor:
    """Runs one command: starts it, forwards signals, and stops it when the grant ends."""

    def __init__(self) -> None:
        self._read, self._write = os.pipe()
        for end in (self._read, self._write):
            os.set_blocking(end, False)
        self._kill_at: float | None = None
        self._told_to_stop = False

    @contextlib.contextmanager
    def listening(self) -> Iterator[None]:
        """Handle signals, so that no signal ends this process before the process has ended the grant."""
        before = signal.set_wakeup_fd(self._write, warn_on_full_buffer=False)
        handlers = {number: signal.signal(number, _noted) for number in (*FORWARDED, signal.SIGCHLD)}
        try:
            yield
        finally:
            signal.set_wakeup_fd(before)
            for number, handler in handlers.items():
                signal.signal(number, handler)
            os.close(self._read)
            os.close(self._write)

    def stop(self) -> None:
        """Stop the command, because the grant has ended. Callable from any thread."""
        self._told_to_stop = True
        with contextlib.suppress(OSError):
            os.write(self._write, _WAKE)

    def run(self, words: Sequence[str], env: Mapping[str, str]) -> int:
        """Run a command and return its exit status: 128 plus its number if a signal ended it.
        Raises Usage.
        """
        try:
            child = subprocess.Popen(list(words), env=dict(env))
        except FileNotFoundError:
            raise Usage(f"Program not found: {words[0]}.") from None
        except OSError as error:
            raise Usage(f"{words[0]} can't be started: {error.strerror}.") from None
        try:
            while child.poll() is None:
                self._turn(child)
        finally:
            if child.poll() is None:
                child.kill()
                child.wait()
        return child.returncode if child.returncode >= 0 else 128 - child.returncode

    def _turn(self, child: subprocess.Popen[bytes]) -> None:
        """Wait for a signal or a stop, and handle it."""
        select.select([self._read], [], [], self._patience())
        for number in self._heard():
            if number in FORWARDED and not (number in _FROM_TERMINAL and _in_foreground()):
                _send(child, number)
        if self._told_to_stop and self._kill_at is None:
            self._kill_at = time.monotonic() + GRACE
            _send(child, signal.SIGTERM)
        if self._kill_at is not None and time.monotonic() > self._kill_at:
            _send(child, signal.SIGKILL)

    def _patience(self) -> float:
        return 1.0 if self._kill_at is None else max(self._kill_at - time.monotonic(), 0.05)

    def _heard(self) -> bytes:
        with contextlib.suppress(BlockingIOError):
            return os.read(self._read, 4096)
        return b""


def _noted(_number: int, _frame: FrameType | None) -> None:
    """Do nothing: Python itself writes the signal's number into the wakeup pipe."""


def _send(child: subprocess.Popen[bytes], number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        child.send_signal(number)


def _in_foreground() -> bool:
    """Whether the terminal sends its signals to this process group, and therefore to the command."""
    try:
        return os.isatty(sys.stdin.fileno()) and os.tcgetpgrp(sys.stdin.fileno()) == os.getpgrp()
    except (OSError, ValueError):
        return False


@contextlib.contextmanager
def withdrawn_when_interrupted(shell: Shell) -> Iterator[Callable[[Mapping[str, Any]], None]]:
    """Withdraw requests if this process is stopped before its command starts, so that they are not approved
    later.

    Inside the block, SIGTERM and SIGHUP act as an interrupt. On an interrupt, each request that was passed to
    the yielded function is withdrawn, or its grant is ended.
    """
    made: list[str] = []
    before = {number: signal.signal(number, _interrupt) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield lambda request: made.append(str(request["ref"]))
    except KeyboardInterrupt:
        for ref in made:
            _withdraw(shell, ref)
        raise
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _withdraw(shell: Shell, ref: str) -> None:
    try:
        shell.wire.post(f"/requests/{ref}/withdraw")
    except CliError as error:
        try:
            grant = shell.wire.get(f"/requests/{ref}")["grant"]
        except CliError:
            grant = None
        if grant:
            _end(shell, str(grant), "Interrupted before the command started.")
        else:
            say(f"stint: {plain(ref)} could not be withdrawn: {plain(error.message)}", err=True)


def run_with(
    shell: Shell, grant: Mapping[str, Any], words: Sequence[str], prepare: Callable[[], Mapping[str, str]]
) -> int:
    """Run a command while its grant lasts, then end the grant, and return the command's exit status.

    ``prepare`` returns the environment. The grant is always ended, even after an error. Raises CliError if
    the grant ended before the start, the command can't be started, or the command succeeded but the grant
    could not be ended.
    """
    supervisor = Supervisor()
    heartbeat = Heartbeat(shell, grant, supervisor.stop)
    note, trouble = "The command was not started.", None
    with supervisor.listening():
        try:
            env = prepare()
            _warn_unless(heartbeat.start(), shell, grant)
            status = supervisor.run(words, env)
            note = (
                f"The grant ended before the command finished: {heartbeat.why}"
                if heartbeat.over
                else f"The command exited with status {status}."
            )
        finally:
            heartbeat.stop()
            trouble = _end(shell, str(grant["ref"]), note[:400], over=heartbeat.over)
    if heartbeat.over:
        say(
            f"stint: {plain(grant['ref'])} has ended ({heartbeat.why}), so the command was stopped.", err=True
        )
    elif trouble is None:
        shell.note(f"{grant['ref']} has ended with the command.")
    if trouble is not None and status == 0:
        raise trouble
    return status


def _warn_unless(needed: bool, shell: Shell, grant: Mapping[str, Any]) -> None:
    if not needed:
        until = clock_time(str(grant["expires_at"]))
        shell.note(f"{grant['ref']} needs no heartbeat: if this machine fails, access lasts until {until}.")


def _end(shell: Shell, ref: str, note: str, *, over: bool = False) -> CliError | None:
    """End the grant, with retries during an outage. If that fails, print the error and return it.

    ``over`` means that the grant has already ended.
    """
    began = time.monotonic()
    remaining.drop(shell, ref)
    while True:
        try:
            shell.wire.post(f"/grants/{ref}/end", {"note": note, "kill": False})
        except Unreachable as error:
            trouble: CliError = error
            if time.monotonic() - began < PATIENCE:
                time.sleep(1)
                continue
        except CliError as error:
            trouble = error
            if (over and isinstance(error, NotSignedIn)) or _is_over(shell, ref):
                return None
        else:
            return None
        say(
            f"stint: {plain(ref)} could not be ended: {plain(trouble.message)} Run `stint end {plain(ref)}`"
            " to end it.",
            err=True,
        )
        return trouble


def _is_over(shell: Shell, ref: str) -> bool:
    """Whether the grant has already been ended."""
    try:
        return shell.wire.get(f"/grants/{ref}")["state"] in ("revoking", "ended")
    except CliError:
        return False
