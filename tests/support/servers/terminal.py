"""Somebody's terminal: the stint command as a process of its own, with a home of its own."""

import json
import os
import pty
import re
import select
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.environment import ROOT

STINT = (sys.executable, "-m", "broker.cli")


@dataclass
class Terminal:
    """One person at one machine. Nothing of this machine's environment is seen but PATH."""

    home: Path
    env: dict[str, str] = field(default_factory=dict)
    command: Sequence[str] = STINT

    @property
    def environment(self) -> dict[str, str]:
        base = {"PATH": os.environ["PATH"], "HOME": str(self.home), "LANG": "C.UTF-8", "TZ": "UTC"}
        return {**base, "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "error", **self.env}

    def start(self, *words: str, **more) -> subprocess.Popen[str]:
        """A command that goes on."""
        options = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **more}
        return subprocess.Popen(
            [*self.command, *words], cwd=self.home, env=self.environment, text=True, **options
        )

    def __call__(
        self, *words: str, stdin: str = "", timeout: float = 120
    ) -> subprocess.CompletedProcess[str]:
        """A command, run to its end."""
        return subprocess.run(
            [*self.command, *words], cwd=self.home, env=self.environment, text=True, input=stdin,
            capture_output=True, timeout=timeout, check=False,
        )  # fmt: skip

    def json(self, *words: str):
        """The document that a command answers with."""
        done = self(words[0], "--json", *words[1:])
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def fails(self, *words: str) -> tuple[int, str]:
        """The exit status of a command that fails, and what it says."""
        done = self(*words)
        assert done.returncode != 0, done.stdout
        assert "Traceback" not in done.stderr, done.stderr
        return done.returncode, done.stderr

    def at_a_terminal(self, *words: str, types: str = "", columns: int = 100, within: float = 120):
        """Run a command at a real terminal, where somebody types; gives the exit status and all that was shown."""
        pid, terminal = pty.fork()
        if pid == 0:
            os.chdir(self.home)
            os.execve(
                self.command[0],
                [*self.command, *words],
                {**self.environment, "TERM": "xterm", "COLUMNS": str(columns)},
            )
        os.write(terminal, types.encode())
        shown, ends = b"", time.monotonic() + within
        while time.monotonic() < ends:
            if select.select([terminal], [], [], 0.2)[0]:
                try:
                    part = os.read(terminal, 65536)
                except OSError:
                    break
                if not part:
                    break
                shown += part
        os.close(terminal)
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        return status, shown.decode(errors="replace")


def without_color(text: str) -> str:
    """What is shown, without escape sequences."""
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text)
