"""A lock that a server inherits, so that only one launcher at a time uses the server's files, even if a
launcher is killed.
"""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path

from broker.embedded.errors import EmbeddedError

# Seconds. If a launcher is killed, the kernel signals its server, which ends within this time.
_PATIENCE_S = 15.0


class AlreadyRunningError(EmbeddedError):
    """Another process runs this server in the same state folder."""


class Lock:
    """An exclusive flock(2) on `path`, a file with the launcher's pid.

    The server inherits `fd`, so the lock is free only after both the launcher and the server have ended.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.fd = -1

    def acquire(self) -> None:
        """Acquire the lock. Raises `AlreadyRunningError` if a running launcher has it."""
        fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            self._wait(fd)
        except AlreadyRunningError:
            os.close(fd)
            raise
        os.ftruncate(fd, 0)
        os.pwrite(fd, f"{os.getpid()}\n".encode(), 0)
        self.fd = fd

    def _wait(self, fd: int) -> None:
        last = time.monotonic() + _PATIENCE_S
        while not _try(fd, fcntl.LOCK_EX):
            pid = _pid(self.path)
            if pid is not None and _alive(pid):
                raise AlreadyRunningError(
                    f"Stint is already running in {self.path.parent} (pid {pid}). "
                    "Stop it first, or set STINT_STATE_DIR to another folder."
                )
            if time.monotonic() > last:
                raise AlreadyRunningError(
                    f"A server from an earlier launch is still running in {self.path.parent}. "
                    f"Stop it; `fuser -v {self.path}` shows its process."
                )
            time.sleep(0.02)

    def release(self) -> None:
        """Release the lock. Does nothing if it isn't held."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1


def holder(path: Path) -> int | None:
    """Return the pid of the running launcher that has the lock on `path`, or None."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        if _try(fd, fcntl.LOCK_SH):
            return None
    finally:
        os.close(fd)
    pid = _pid(path)
    return pid if pid is not None and _alive(pid) else None


def _try(fd: int, kind: int) -> bool:
    try:
        fcntl.flock(fd, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _pid(path: Path) -> int | None:
    text = path.read_text(encoding="ascii").strip()
    return int(text) if text.isdigit() else None


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
