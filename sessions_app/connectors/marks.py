"""The environment entries that identify a grant's processes on a target."""

from __future__ import annotations

import re
from dataclasses import dataclass

GRANT_MARK, RUN_MARK = "STINT_GRANT", "STINT_RUN"
# The grant mark of the harmless commands by which a check tries a target. No grant has it.
CHECK_MARK = "stint-check"
_VALUE = re.compile(r"[A-Za-z0-9_-]{8,64}")


class CannotWrap(ValueError):
    """Words that can't be run on a target under Stint's control. The message gives the reason."""


@dataclass(frozen=True, slots=True)
class Mark:
    """The environment entry that every process of a grant, or of one of its commands, carries on a target."""

    name: str
    value: str

    def __post_init__(self) -> None:
        if not _VALUE.fullmatch(self.value):
            raise CannotWrap("A mark must have 8 to 64 letters, digits, - and _.")

    def __str__(self) -> str:
        return f"{self.name}={self.value}"


def run_mark(grant_mark: str, run_id: int) -> Mark:
    """Return the mark of one command.

    All command marks of a grant have the same length, so none is a prefix of another.
    """
    return Mark(RUN_MARK, f"{grant_mark[:40]}-{run_id:012d}")
