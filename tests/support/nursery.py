"""Processes of Stint for tests, forked from one that has loaded all of Stint: they start in a tenth of the time.

Each is what `python WORDS` would be in the environment that it is given, from which it reads its settings as any other. One
nursery serves the tests of a process; it starts when it is first asked, and ends, with all that it forked, when that process does.
Sources: unix(7) for descriptors that are sent, pidfd_open(2).
"""

from __future__ import annotations

import contextlib
import functools
import gc
import importlib
import json
import os
import selectors
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import IO, Any

from broker.processes.nursery import become, load

_MOST = 1 << 20


class Forked:
    """A forked process: what tests use of `subprocess.Popen`."""

    def __init__(self, pid: int, ends: socket.socket) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self._ends = ends

    def poll(self) -> int | None:
        """Return its status when it has ended, negative for a signal; None while it runs."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.wait(0)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Return its status once it has ended. Raises subprocess.TimeoutExpired."""
        if self.returncode is None:
            self._ends.settimeout(timeout)
            try:
                self.returncode = int(self._ends.recv(32) or b"-9")
            except (BlockingIOError, TimeoutError):
                raise subprocess.TimeoutExpired("a forked process", timeout or 0) from None
            self._ends.close()
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Signal it, if it still runs."""
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def terminate(self) -> None:
        """Tell it to stop."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """End it."""
        self.send_signal(signal.SIGKILL)


def start(
    *words: str,
    cwd: os.PathLike[str],
    env: Mapping[str, str],
    stdout: IO[bytes] | int,
    stderr: IO[bytes] | int,
) -> Forked:
    """Start `python WORDS`. The outputs are files, or subprocess.DEVNULL."""
    control = _nursery()
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    order = {"words": words, "cwd": os.fspath(cwd), "env": dict(env)}
    with theirs, open(os.devnull, "wb") as nowhere:
        outputs = [nowhere.fileno() if to == subprocess.DEVNULL else to.fileno() for to in (stdout, stderr)]
        socket.send_fds(control, [json.dumps(order).encode()], [theirs.fileno(), *outputs])
        answer = ours.recv(32)
    if not answer:
        raise RuntimeError("the nursery of the tests is gone")
    return Forked(int(answer), ours)


@functools.cache
def _nursery() -> socket.socket:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        command = [sys.executable, "-m", "tests.support.nursery", str(theirs.fileno())]
        # It ends when the other end is closed, which nobody has to wait for.
        subprocess.Popen(command, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL).returncode = 0
    return ours


# --- In the nursery ---


def serve(control: socket.socket) -> None:
    """Load, and fork what is ordered until the other end is closed."""
    load()
    running: dict[int, tuple[int, socket.socket]] = {}
    with selectors.DefaultSelector() as ready:
        ready.register(control, selectors.EVENT_READ)
        while True:
            for key, _ in ready.select():
                if key.fd != control.fileno():
                    ready.unregister(key.fd)
                    _ended(key.fd, *running.pop(key.fd))
                    continue
                message, descriptors, _, _ = socket.recv_fds(control, _MOST, 3)
                if not message:
                    for pid, _ in running.values():
                        os.kill(pid, signal.SIGKILL)
                    return
                watch, pid, ends = _fork(json.loads(message), descriptors)
                running[watch] = pid, ends
                ready.register(watch, selectors.EVENT_READ)


def _fork(order: Mapping[str, Any], descriptors: Sequence[int]) -> tuple[int, int, socket.socket]:
    ends, *outputs = descriptors
    pid = os.fork()
    if not pid:
        become(functools.partial(_prepare, order, outputs), order["words"])
    for descriptor in outputs:
        os.close(descriptor)
    channel = socket.socket(fileno=ends)
    channel.send(str(pid).encode())
    return os.pidfd_open(pid), pid, channel


def _ended(watch: int, pid: int, ends: socket.socket) -> None:
    _, status = os.waitpid(pid, 0)
    os.close(watch)
    with ends, contextlib.suppress(OSError):
        ends.send(str(os.waitstatus_to_exitcode(status)).encode())


def _prepare(order: Mapping[str, Any], outputs: Sequence[int]) -> None:
    for place, descriptor in enumerate(outputs, start=1):
        os.dup2(descriptor, place)
    os.closerange(3, os.sysconf("SC_OPEN_MAX"))
    os.chdir(order["cwd"])
    os.environ.clear()
    os.environ.update(order["env"])
    _read_settings()
    gc.enable()


def _read_settings() -> None:
    """Forget the nursery's settings and all that was made of them, and read them again."""
    import django
    from django.conf import empty, settings
    from django.core.cache import caches
    from django.db import connections

    import broker.settings

    importlib.reload(broker.settings)
    settings._wrapped = empty
    for handler in (connections, caches):
        handler._settings = None
        handler.__dict__.pop("settings", None)
        for alias in [alias for alias in ("default", "local") if hasattr(handler._connections, alias)]:
            del handler[alias]
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "broker.settings")
    django.setup()


if __name__ == "__main__":
    with socket.socket(fileno=int(sys.argv[1])) as end:
        serve(end)
