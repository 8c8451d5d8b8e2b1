"""A gateway that runs as a separate process, and the code that all such endpoints share."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from typing import IO, Any

from tests.environment import ROOT
from tests.support.pace import allow
from tests.support.waits import PATIENCE
from tests.support.world.world import World


def start(
    *words: str, env: Mapping[str, str], stderr: IO[bytes], stdout: IO[bytes] | int = subprocess.DEVNULL
) -> subprocess.Popen[bytes]:
    """Start `python WORDS` in the repository."""
    command = [sys.executable, *words]
    return subprocess.Popen(
        command, cwd=ROOT, env=env, stdin=subprocess.DEVNULL, stdout=stdout, stderr=stderr
    )


class Running:
    """Base of classes that run a gateway as a process."""

    gateway: subprocess.Popen[bytes] | None

    def stop(self, number: int = signal.SIGKILL) -> int:
        """End the gateway by a signal and return its exit status."""
        if self.gateway is None:
            return 0
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.gateway.pid, signal.SIGCONT)
            self.gateway.send_signal(number)
        status = self.gateway.wait(PATIENCE)
        self.gateway = None
        return status

    def exits(self) -> int:
        """Wait until the gateway has exited by itself, and return its exit status."""
        assert self.gateway is not None
        status = self.gateway.wait(PATIENCE)
        self.gateway = None
        return status


class RunningEndpoint:
    """A gateway from its holders' side, which runs as a process and ends what is due by itself."""

    place: Any

    @property
    def world(self) -> World:
        return self.place.world

    def settle(self, grant: Any) -> None:
        """Do nothing: this gateway processes ends itself."""

    def send(self, number: int) -> None:
        self.place.gateway.send_signal(number)

    def start(self) -> None:
        self.place.start()

    def stop(self, number: int = signal.SIGKILL) -> None:
        self.place.stop(number)

    def drain(self) -> None:
        self.send(signal.SIGUSR1)
        began = time.monotonic()
        while self._listens():
            assert time.monotonic() - began < allow(10), "it still takes connections"
            time.sleep(0.02)

    def comes_back(self) -> None:
        try:
            assert self.place.exits() == 0
        finally:
            self.start()

    def _listens(self) -> bool:
        with (
            contextlib.suppress(OSError),
            socket.create_connection(("127.0.0.1", self.place.port), timeout=1),
        ):
            return True
        return False
