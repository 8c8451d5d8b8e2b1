"""Programs that replace this process."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from typing import NoReturn

from .errors import Usage


def found(program: str, hint: str) -> str:
    """Return the path of a program. Raises Usage."""
    path = shutil.which(program)
    if path is None:
        raise Usage(f"{program} is not installed.", hint)
    return path


def become(path: str, words: Sequence[str], env: Mapping[str, str]) -> NoReturn:
    """Replace this process with a program, which then has the terminal, gets the signals and sets the exit
    status.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    os.execve(path, list(words), dict(env))  # noqa: S606  # no shell is wanted
