"""Lets processes load while the migrations still run, and begin their work only after them.

`manage.py up` closes the gate before it starts anything, and names it to the processes in STINT_START_AFTER.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

VARIABLE = "STINT_START_AFTER"
_LOOK_EVERY_S = 0.02


class Gate:
    """A file that is there as long as the gate is closed."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def close(self) -> None:
        """Let nobody pass from now on."""
        self.path.touch(mode=0o600)

    def open(self) -> None:
        """Let everybody pass from now on."""
        self.path.unlink(missing_ok=True)


def wait() -> None:
    """Return when the gate that the environment names is open; at once when it names none."""
    path = os.environ.get(VARIABLE, "")
    while path and Path(path).exists():
        time.sleep(_LOOK_EVERY_S)
