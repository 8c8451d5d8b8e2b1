"""A process that loads all of Stint once, and from which the processes of a group are forked.

This way, the code is loaded only once, and its memory is shared. Run as `python -m
broker.processes.fork_server FD`, where FD is a socket (SOCK_SEQPACKET). `ForkServer` has the other end. A
request is a JSON object, sent with the descriptor for the new process's output. The response is the process
ID.

The new process is a grandchild whose parent exits immediately, so the kernel reparents it to the supervisor,
which is the subreaper. The supervisor waits for it and signals it like any other child, even if the fork
server ends.

Sources: prctl(2) PR_SET_CHILD_SUBREAPER, PR_SET_PDEATHSIG and PR_SET_NAME, unix(7).
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import importlib
import json
import os
import re
import runpy
import select
import signal
import socket
import sys
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, NoReturn

_PR_SET_PDEATHSIG, _PR_SET_NAME, _PR_SET_CHILD_SUBREAPER = 1, 15, 36
_MOST = 65_536
_PATIENCE_S = 5.0
_LOADED = b"loaded"
# The main modules of the processes. They are loaded with all their imports.
_MODULES = (
    "broker.processes.worker",
    "celery.apps.worker",
    "celery.bin.celery",
    "granian.cli",
    "sessions_app.gateways.http.application",
    "sessions_app.gateways.core.process",
    "sessions_app.gateways.core.web",
    "sessions_app.gateways.ssh.endpoint",
    "sessions_app.streams.application",
    "sessions_app.tasks",
    "uvicorn.main",
)

possible = sys.platform == "linux"


class ForkServerGone(Exception):
    """The fork server does not respond; it may be restarting."""


@dataclass(eq=False)
class Forked:
    """A forked process, with the part of the interface of `subprocess.Popen` that the supervisor uses."""

    pid: int
    stdout: IO[bytes] | None = field(repr=False)
    returncode: int | None = None

    def poll(self) -> int | None:
        """Return the exit status, negative for a signal, or None while the process runs."""
        if self.returncode is None:
            try:
                pid, status = os.waitpid(self.pid, os.WNOHANG)
            except ChildProcessError:
                # The process ended before it was reparented, or its status was read elsewhere. Its status is
                # unknown.
                pid, status = self.pid, 255 << 8
            if pid:
                self.returncode = os.waitstatus_to_exitcode(status)
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Send a signal to the process, if it is still running."""
        if self.poll() is None:
            os.kill(self.pid, number)


class ForkServer:
    """The supervisor's client of the fork server. It makes this process the subreaper of its descendants."""

    def __init__(self) -> None:
        self._ours, self._theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._loaded, self._unanswered = False, 0
        _prctl(_PR_SET_CHILD_SUBREAPER, 1)

    @property
    def argv(self) -> list[str]:
        """The command that starts the fork server."""
        return [sys.executable, "-m", "broker.processes.fork_server", str(self._theirs.fileno())]

    @property
    def inherited_fd(self) -> int:
        """The descriptor that the fork server must inherit."""
        return self._theirs.fileno()

    def is_ready(self) -> bool:
        """Whether the fork server has loaded everything."""
        while not self._loaded:
            try:
                self._loaded = self._ours.recv(_MOST, socket.MSG_DONTWAIT) == _LOADED
            except BlockingIOError:
                return False
        return True

    def forget(self) -> None:
        """Reset the connection after the fork server has ended: discard all messages, and report not ready
        until a new fork server has loaded everything.
        """
        self._loaded, self._unanswered = False, 0
        for end in (self._ours, self._theirs):
            with contextlib.suppress(BlockingIOError):
                while end.recv(_MOST, socket.MSG_DONTWAIT):
                    pass

    def fork(
        self, *, name: str, argv: Sequence[str], cwd: Path | None, death_signal: signal.Signals
    ) -> Forked:
        """Fork a process that runs `argv`: Python, its options, and a module or a file.

        It gets `death_signal` when this process ends. Raises ForkServerGone.
        """
        if not self.is_ready():
            raise ForkServerGone("the fork server is still loading")
        reading, writing = os.pipe()
        order = {
            "name": name,
            "argv": list(argv)[1:],
            "cwd": str(cwd or Path.cwd()),
            "starter": os.getpid(),
            "death_signal": int(death_signal),
        }
        try:
            socket.send_fds(self._ours, [json.dumps(order).encode()], [writing])
            self._unanswered += 1
            pid = self._answer()
        except OSError as error:
            os.close(reading)
            raise ForkServerGone(f"the fork server did not respond: {error}") from error
        finally:
            os.close(writing)
        return Forked(pid, os.fdopen(reading, "rb", buffering=0))

    def _answer(self) -> int:
        """Return the ID of the most recently requested process. Processes of earlier requests that timed out
        are killed when their IDs arrive.
        """
        while True:
            if not select.select([self._ours], [], [], _PATIENCE_S)[0]:
                raise TimeoutError("no response in time")
            answer = self._ours.recv(_MOST)
            if answer == _LOADED:
                continue
            self._unanswered -= 1
            if not self._unanswered:
                return int(answer)
            os.kill(int(answer), signal.SIGKILL)
            os.waitpid(int(answer), 0)


def _prctl(what: int, value: Any) -> None:
    ctypes.CDLL(None, use_errno=True).prctl(what, value, 0, 0, 0)


# --- In the fork server ---


def load() -> None:
    """Load all of Stint."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "broker.settings")
    gc.disable()
    import django  # noqa: PLC0415  # only the fork server needs it
    from django.urls import get_resolver  # noqa: PLC0415  # only the fork server needs it

    django.setup()
    for name in _MODULES:
        importlib.import_module(name)
    get_resolver().url_patterns  # noqa: B018
    # Freeze all objects: garbage collection in a forked process would write to every object, and so copy the
    # shared memory.
    gc.freeze()


def serve(channel: socket.socket) -> None:
    """Load everything, then fork a process for each request until the other end is closed."""
    load()
    channel.send(_LOADED)
    while True:
        message, descriptors, _, _ = socket.recv_fds(channel, _MOST, 1)
        if not message:
            return
        for descriptor in descriptors:
            pid = _fork(json.loads(message), descriptor, channel)
            os.close(descriptor)
            channel.send(str(pid).encode())


def _fork(order: Mapping[str, Any], output: int, channel: socket.socket) -> int:
    reading, writing = os.pipe()
    first = os.fork()
    if not first:
        second = os.fork()
        if second:
            os.write(writing, str(second).encode())
            os._exit(0)
        for descriptor in (reading, writing, channel.detach()):
            os.close(descriptor)
        _go_on(order, output)
    os.close(writing)
    os.waitpid(first, 0)
    pid = int(os.read(reading, 32))
    os.close(reading)
    return pid


def _go_on(order: Mapping[str, Any], output: int) -> NoReturn:
    def prepare() -> None:
        _adopted(int(order["starter"]), signal.Signals(order["death_signal"]))
        _stand_alone(order, output)

    become(prepare, order["argv"])


def become(prepare: Callable[[], None], argv: Sequence[str]) -> NoReturn:
    """Prepare this forked process, run it as `python ARGV`, and exit with the status of the interpreter."""
    status = 1
    try:
        prepare()
        status = _run(argv)
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
        if isinstance(end.code, str):
            sys.stderr.write(f"{end.code}\n")
    except BaseException:  # noqa: BLE001  # as the interpreter does when it exits
        sys.excepthook(*sys.exc_info())
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def _adopted(starter: int, death_signal: signal.Signals) -> None:
    """Wait until the kernel has reparented this process to the supervisor; exit if the supervisor
    has ended.
    """
    last = time.monotonic() + _PATIENCE_S
    while os.getppid() != starter:
        if time.monotonic() > last:
            os._exit(0)
        time.sleep(0.001)
    _prctl(_PR_SET_PDEATHSIG, int(death_signal))
    if os.getppid() != starter:
        os._exit(0)


def _stand_alone(order: Mapping[str, Any], output: int) -> None:
    os.setsid()
    nowhere = os.open(os.devnull, os.O_RDONLY)
    for descriptor, place in ((nowhere, 0), (output, 1), (output, 2)):
        os.dup2(descriptor, place)
    os.close(nowhere)
    os.close(output)
    os.umask(0o077)
    gc.enable()
    os.chdir(order["cwd"])
    _prctl(_PR_SET_NAME, f"stint-{order['name']}".encode()[:15])


def _run(argv: Sequence[str]) -> int:
    """Run `python ARGV`, and return the status. Supports `-W`, and `-m` or a file."""
    rest = list(argv)
    while rest[0] == "-W":
        action, _, message = rest[1].partition(":")
        warnings.filterwarnings(action, message=re.escape(message))  # type: ignore[arg-type]
        rest = rest[2:]
    if rest[0] == "-m":
        sys.argv = rest[1:]
        runpy.run_module(rest[1], run_name="__main__", alter_sys=True)
    else:
        sys.argv = rest
        runpy.run_path(rest[0], run_name="__main__")
    return 0


if __name__ == "__main__":
    with socket.socket(fileno=int(sys.argv[1])) as end:
        serve(end)
