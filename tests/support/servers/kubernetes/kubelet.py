"""A kubelet whose containers are folders of this machine, with real processes.

A container has no namespaces. Its processes are identified by an environment variable and by their folder,
its log is a file, and the port of a pod is one of this machine. As in a real one, ending a stream ends no
process: it only closes the standard input.
"""

import contextlib
import os
import secrets
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from tests.support.servers.kubernetes.store import Refusal

_MARK = "TEST_CONTAINER"


@dataclass
class Container:
    """A folder, and its processes.

    If the image's name begins with `distroless`, it has only its own programs.
    """

    spec: dict
    folder: Path
    pod: str
    id: str = field(default_factory=lambda: secrets.token_hex(8))
    main: subprocess.Popen[bytes] | None = None
    gone: threading.Event = field(default_factory=threading.Event)

    @property
    def log(self) -> Path:
        return self.folder.with_suffix(".log")

    def start(self) -> None:
        """Start the container's own process, if its spec names one; its output is the log."""
        self.folder.mkdir(parents=True)
        self.log.touch()
        argv = [*self.spec.get("command", []), *self.spec.get("args", [])]
        if argv:
            stdin = subprocess.PIPE if self.spec.get("stdin") else subprocess.DEVNULL
            with self.log.open("ab") as log:
                self.main = self.run(argv, stdin=stdin, stdout=log, stderr=subprocess.STDOUT)
            threading.Thread(target=self.main.wait, daemon=True).start()

    def run(self, argv: list[str], *, tty: bool = False, **streams: Any) -> subprocess.Popen[bytes]:
        """Start a program in a new session. With `tty`, its standard input is the controlling terminal.

        Raises Refusal if the container has no such program.
        """
        path = (
            str(self.folder / "bin")
            if self.spec.get("image", "").startswith("distroless")
            else os.environ["PATH"]
        )
        env = {"PATH": path, "HOSTNAME": self.pod, "HOME": str(self.folder), _MARK: self.id}
        try:
            words = ["/usr/bin/setsid", "--ctty", *argv] if tty else argv
            return subprocess.Popen(words, cwd=self.folder, env=env, start_new_session=not tty, **streams)
        except OSError as error:
            why = (
                "executable file not found in $PATH"
                if isinstance(error, FileNotFoundError)
                else error.strerror
            )
            raise Refusal(
                500,
                "InternalError",
                "Internal error occurred: error executing command in container: failed "
                f'to exec in container: unable to start container process: exec: "{argv[0]}": {why}',
            ) from None

    def run_on_terminal(self, argv: list[str]) -> tuple[subprocess.Popen[bytes], IO[bytes], IO[bytes]]:
        """Start a program on a new terminal. Return it, and the streams to write to and read from.

        As with a real one, the terminal is hung up only once all programs that use it have ended.
        """
        mine, theirs = os.openpty()
        try:
            process = self.run(argv, tty=True, stdin=theirs, stdout=theirs, stderr=theirs)
        finally:
            os.close(theirs)
        return process, os.fdopen(os.dup(mine), "wb", buffering=0), os.fdopen(mine, "rb", buffering=0)

    def processes(self) -> list[int]:
        """Return the ids of all running processes in it, whatever their parent."""
        return [pid for pid in _pids() if self._holds(pid)]

    def _holds(self, pid: int) -> bool:
        with contextlib.suppress(OSError):
            if f"{_MARK}={self.id}".encode() in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0"):
                return True
            return Path(f"/proc/{pid}/cwd").readlink().is_relative_to(self.folder)
        return False

    def remove(self) -> None:
        """End all processes in it."""
        self.gone.set()
        while left := self.processes():
            for pid in left:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.01)
        shutil.rmtree(self.folder, ignore_errors=True)

    def written(self, start: int, *, follow: bool) -> Iterator[bytes]:
        """Yield the log from a position on.

        With `follow`, yield nothing now and then, and end with the process.
        """
        with self.log.open("rb") as log:
            log.seek(start)
            while True:
                over = self.gone.is_set() or (self.main is not None and self.main.poll() is not None)
                if more := log.read(65536):
                    yield more
                elif over or not follow:
                    return
                else:
                    yield b""
                    self.gone.wait(0.05)

    def last_lines(self, lines: int | None) -> int:
        """Return where the last lines of the log begin; None means all lines."""
        text = self.log.read_bytes()
        kept = text.splitlines(keepends=True)
        return 0 if lines is None else len(text) - sum(map(len, kept[max(0, len(kept) - lines) :]))


@dataclass
class Kubelet:
    """The containers of all pods. `ports` maps a pod's port to one of this machine."""

    folder: Path
    ports: dict[int, int] = field(default_factory=dict)
    containers: dict[tuple[str, str, str], Container] = field(default_factory=dict)

    def start(self, pod: dict) -> None:
        """Start the containers of a pod."""
        meta = pod["metadata"]
        for spec in pod.get("spec", {}).get("containers", []):
            folder = self.folder / meta["namespace"] / f"{meta['name']}-{meta['uid'][:8]}" / spec["name"]
            made = Container(spec, folder, meta["name"])
            self.containers[meta["namespace"], meta["name"], spec["name"]] = made
            made.start()

    def remove(self, namespace: str, name: str) -> None:
        for key in [key for key in self.containers if key[:2] == (namespace, name)]:
            self.containers.pop(key).remove()

    def stop(self) -> None:
        for container in self.containers.values():
            container.remove()

    def container(self, namespace: str, pod: str, name: str = "") -> Container:
        """Return one container; without a name, the only one of its pod. Raises Refusal if there is none."""
        found = [
            one
            for (where, of, called), one in self.containers.items()
            if (where, of) == (namespace, pod) and name in ("", called)
        ]
        if not found:
            raise Refusal(400, "BadRequest", f"container {name} is not valid for pod {pod}")
        if len(found) > 1:
            names = " ".join(one.spec["name"] for one in found)
            raise Refusal(
                400,
                "BadRequest",
                f"a container name must be specified for pod {pod}, choose one of: [{names}]",
            )
        return found[0]


def _pids() -> list[int]:
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]


def copied(source: IO[bytes], write: Callable[[bytes], None]) -> threading.Thread:
    """Start a thread that passes on a process's output.

    Without a consumer, the output is read and dropped.
    """

    def read() -> bytes:
        # Reading from a terminal without users is an error.
        with contextlib.suppress(OSError):
            return os.read(source.fileno(), 32768)
        return b""

    def copy() -> None:
        taken = True
        while part := read():
            try:
                if taken:
                    write(part)
            except OSError:
                taken = False
        source.close()

    thread = threading.Thread(target=copy, daemon=True)
    thread.start()
    return thread
