"""A person's terminal: the stint command as a separate process, with its own home folder."""

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
    """One person at one machine. Only PATH is inherited from this machine's environment."""

    home: Path
    env: dict[str, str] = field(default_factory=dict)
    command: Sequence[str] = STINT

    @property
    def environment(self) -> dict[str, str]:
        base = {"PATH": os.environ["PATH"], "HOME": str(self.home), "LANG": "C.UTF-8", "TZ": "UTC"}
        return {**base, "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "error", **self.env}

    def start(self, *words: str, **more) -> subprocess.Popen[str]:
        """Start a command."""
        options = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **more}
        return subprocess.Popen(
            [*self.command, *words], cwd=self.home, env=self.environment, text=True, **options
        )

    def __call__(
        self, *words: str, stdin: str = "", timeout: float = 120
    ) -> subprocess.CompletedProcess[str]:
        """Run a command to its end."""
        return subprocess.run(
            [*self.command, *words],
            cwd=self.home,
            env=self.environment,
            text=True,
            input=stdin,
            capture_output=True,
            timeout=timeout,
            check=False,
        )

    def json(self, *words: str):
        """Return the JSON document that a command prints."""
        done = self(words[0], "--json", *words[1:])
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def fails(self, *words: str) -> tuple[int, str]:
        """Return the exit status of a command that fails, and its error output."""
        done = self(*words)
        assert done.returncode != 0, done.stdout
        assert "Traceback" not in done.stderr, done.stderr
        return done.returncode, done.stderr

    def at_a_terminal(self, *words: str, types: str = "", columns: int = 100, within: float = 120):
        """Run a command at a real terminal with typed input. Return the exit status and everything shown."""
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
    """Return a text without escape sequences."""
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text)
