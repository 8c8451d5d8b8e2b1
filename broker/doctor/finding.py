"""One answer of an examination."""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterator
from dataclasses import dataclass


class Level(enum.StrEnum):
    """``WRONG`` breaks a promise now, ``WARNING`` may do so."""

    OK = "ok"
    WARNING = "warning"
    WRONG = "wrong"


@dataclass(frozen=True, slots=True)
class Finding:
    """What was found in one part. Of what is not right, ``why`` says why it matters, unless ``said`` does,
    and ``fix`` what to do.
    """

    part: str
    level: Level
    said: str
    why: str = ""
    fix: str = ""


Examination = Callable[[], Iterator[Finding]]


def ok(part: str, said: str) -> Finding:
    """Return a finding of what is right."""
    return Finding(part, Level.OK, said)


def warning(part: str, said: str, *, fix: str, why: str = "") -> Finding:
    """Return a finding of what is risky."""
    return Finding(part, Level.WARNING, said, why, fix)


def wrong(part: str, said: str, *, fix: str, why: str = "") -> Finding:
    """Return a finding of what does not work."""
    return Finding(part, Level.WRONG, said, why, fix)


def of_trouble(part: str, level: Level, trouble: str) -> Finding:
    """Return a problem that Stint reports by itself, which ends with what to do, as a finding."""
    said, _, fix = trouble.rpartition(": ")
    return Finding(part, level, said, fix=f"{fix[:1].upper()}{fix[1:]}.")


def many(count: int, noun: str) -> str:
    """Return a count with its noun."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
