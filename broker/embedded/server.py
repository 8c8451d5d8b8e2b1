"""The base class of the embedded servers: folders, lock, start and stop. The servers end with their
launcher.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from abc import ABC, abstractmethod
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, ClassVar, Self

from broker.embedded.account import launch_argv, may_enter, server_account, socket_folder
from broker.embedded.errors import EmbeddedError
from broker.embedded.lock import Lock

_START_S = 60.0
_STOP_S = 5.0
# sockaddr_un has 108 bytes, including the final NUL: unix(7).
_SOCKET_PATH_BYTES = 107
_LOG_BYTES = 5_000_000


class StartFailedError(EmbeddedError):
    """A server ended or didn't respond while it was started."""


class UnreachableStateDirError(EmbeddedError):
    """The servers can't use the state folder."""


class PrivateServer(ABC):
    """A server process with its own folder and a Unix socket, which ends when the process that started it
    ends.

    `start()` and `stop()` run it directly. A supervisor instead calls `prepare()`, runs `argv()` with
    `inherited_fd` passed on, polls `is_ready()`, and calls `finish()` when the process has ended.
    """

    name: ClassVar[str]
    stop_signal: ClassVar[signal.Signals]
    last_signal: ClassVar[signal.Signals] = signal.SIGKILL
    # Supervisors don't show log lines with this text.
    hidden: ClassVar[str] = ""

    def __init__(self, state_dir: Path) -> None:
        self.state_dir = state_dir
        self.folder = state_dir / self.name
        self.sockets = socket_folder(state_dir)
        self.log = state_dir / f"{self.name}.log"
        self.account = server_account(state_dir)
        self._lock = Lock(state_dir / f"{self.name}.lock")
        self._process: subprocess.Popen[bytes] | None = None

    @property
    @abstractmethod
    def socket(self) -> Path:
        """The Unix socket that the server listens on."""

    @abstractmethod
    def _program(self) -> list[str]:
        """Return the server's command. Called after `_set_up`."""

    @abstractmethod
    def _set_up(self) -> None:
        """Create the server's files before each start. Called with the lock acquired."""

    @abstractmethod
    def is_ready(self) -> bool:
        """Whether the server accepts connections."""

    @property
    def inherited_fd(self) -> int:
        """The descriptor that the server process must inherit to keep the lock until it ends."""
        return self._lock.fd

    def prepare(self) -> None:
        """Acquire the lock, and create folders and files.

        Raises `AlreadyRunningError`, `UnreachableStateDirError`, `BinaryMissingError` or `StartFailedError`.
        """
        self._check_place()
        self._lock.acquire()
        try:
            for folder in (self.folder, self.sockets):
                self._private(folder)
            self._set_up()
        except BaseException:
            self._lock.release()
            raise

    def argv(self) -> list[str]:
        """Return the command that runs the server as its account. The server ends when the thread that
        started it ends.
        """
        return launch_argv(self._program(), account=self.account, death_signal=self.stop_signal)

    def start(self) -> None:
        """Start the server and wait until it accepts connections. Does nothing if it is already running."""
        if self._process is not None and self._process.poll() is None:
            return
        self._lock.release()
        self.prepare()
        with self._open_log() as log:
            self._process = subprocess.Popen(
                self.argv(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd="/",
                env=plain_env(),
                pass_fds=[self.inherited_fd],
                start_new_session=True,
            )
        try:
            self._await_ready(self._process)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Stop the server, and kill it if that takes longer than 5 s. Does nothing if it isn't running."""
        process, self._process = self._process, None
        if process is not None:
            for number in (self.stop_signal, self.last_signal, signal.SIGKILL):
                if process.poll() is None:
                    process.send_signal(number)
                if _ended(process, _STOP_S):
                    break
        self.finish()

    def finish(self) -> None:
        """Release the lock after the server has ended."""
        self._lock.release()

    @property
    def pid(self) -> int | None:
        """The server's process ID while this object runs it."""
        return self._process.pid if self._process is not None and self._process.poll() is None else None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _check_place(self) -> None:
        if not may_enter(self.state_dir, self.account):
            who = f"uid {self.account.uid}, which the servers run as," if self.account else "this account"
            raise UnreachableStateDirError(
                f"The state folder {self.state_dir} can't be reached by {who} because of the permissions of "
                "a parent folder. Set STINT_STATE_DIR to a reachable folder, such as /var/lib/stint."
            )
        if len(os.fsencode(self.socket)) > _SOCKET_PATH_BYTES:
            raise UnreachableStateDirError(
                f"The path of the socket {self.socket} is longer than the system's limit of"
                f" {_SOCKET_PATH_BYTES} bytes. Set STINT_STATE_DIR to a folder with a shorter path."
            )

    def _private(self, folder: Path) -> None:
        folder.mkdir(mode=0o700, exist_ok=True)
        owner = self.account.uid if self.account else os.geteuid()
        if folder.stat().st_uid != owner and any(folder.iterdir()):
            raise UnreachableStateDirError(
                f"{folder} belongs to uid {folder.stat().st_uid}, but the servers would run as uid {owner}. "
                "Start Stint with the same account as before, or set STINT_STATE_DIR to another folder."
            )
        if self.account:
            os.chown(folder, self.account.uid, self.account.gid)

    def _open_log(self) -> BinaryIO:
        if self.log.exists() and self.log.stat().st_size > _LOG_BYTES:
            self.log.unlink()
        return open(self.log, "ab", opener=lambda path, flags: os.open(path, flags, 0o600))

    def _await_ready(self, process: subprocess.Popen[bytes]) -> None:
        last = time.monotonic() + _START_S
        while not self.is_ready():
            if process.poll() is not None:
                raise StartFailedError(
                    f"{self.name} exited with status {process.returncode}. Its log:\n{self.tail()}"
                )
            if time.monotonic() > last:
                raise StartFailedError(
                    f"{self.name} did not respond within {_START_S:.0f} s. Its log:\n{self.tail()}"
                )
            time.sleep(0.01)

    def tail(self, lines: int = 15) -> str:
        """Return the last lines of the server's log."""
        text = self.log.read_text(encoding="utf-8", errors="replace") if self.log.exists() else ""
        return "\n".join(text.splitlines()[-lines:])


def plain_env() -> dict[str, str]:
    """Return the environment of servers, without this process's secrets and PG* variables."""
    return {"PATH": "/usr/local/bin:/usr/bin:/bin", "LC_ALL": "C.UTF-8", "HOME": "/"}


def _ended(process: subprocess.Popen[bytes], seconds: float) -> bool:
    try:
        process.wait(timeout=seconds)
    except subprocess.TimeoutExpired:
        return False
    return True
