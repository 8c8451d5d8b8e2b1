"""Four targets: real sshd processes on loopback in a temporary folder, each with two small services."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from broker.demo.catalog import CLUSTERS, Host
from broker.demo.sshd import SshTarget

SERVICE = Path(__file__).parent / "service.py"


class Targets:
    """The targets, as a context manager that removes everything at the end."""

    def __init__(self, folder: Path, ca_public_keys: Sequence[str]) -> None:
        self._folder = folder
        self._authorities = ca_public_keys
        self._stack = contextlib.ExitStack()
        self.hosts: list[Host] = []

    def __enter__(self) -> Self:
        """Start all targets."""
        with self._stack:
            for cluster, (*_, names) in CLUSTERS.items():
                for name in names:
                    self._start(name, cluster)
            self._stack = self._stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop all targets."""
        self._stack.close()

    def _start(self, name: str, cluster: str) -> None:
        folder = self._folder / name
        (folder / "bin").mkdir(parents=True, mode=0o755)
        folder.chmod(0o755)
        for program in ("systemctl", "journalctl"):
            script = folder / "bin" / program
            script.write_text(
                f'#!/bin/sh\nexec "{sys.executable}" "{SERVICE}" {program} "{folder}" "$@"\n',
                encoding="utf-8",
            )
            script.chmod(0o755)
        services = subprocess.Popen(
            [sys.executable, str(SERVICE), "serve", str(folder)], start_new_session=True
        )
        self._stack.callback(_end, services)
        target = SshTarget(ca_keys=self._authorities, clusters=[cluster], programs=folder / "bin")
        self._stack.enter_context(target)
        self.hosts.append(Host(name, target.port, target.account, target.host_key))

    @staticmethod
    def find_process(words: str, *, within: float) -> int | None:
        """Return the ID of the process with these arguments on a target (which is this machine), or None."""
        wanted = words.split()[1:]
        deadline = time.monotonic() + within
        while time.monotonic() < deadline:
            for entry in Path("/proc").iterdir():
                with contextlib.suppress(OSError):
                    argv = (entry / "cmdline").read_bytes().decode(errors="replace").split("\0")[:-1]
                    if str(SERVICE) in argv and argv[-len(wanted) :] == wanted:
                        return int(entry.name)
            time.sleep(0.02)
        return None


def _end(services: subprocess.Popen[bytes]) -> None:
    """Stop a service and its units."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(services.pid, signal.SIGKILL)
    services.wait()
