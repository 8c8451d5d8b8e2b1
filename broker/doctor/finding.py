"""A finding of a check."""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterator
from dataclasses import dataclass


class Level(enum.StrEnum):
    """The severity of a finding: ``WRONG`` breaks a promise now, ``WARNING`` may break one later."""

    OK = "ok"
    WARNING = "warning"
    WRONG = "wrong"


@dataclass(frozen=True, slots=True)
class Finding:
    """A finding in one part. For a problem, ``why`` explains why it matters, unless ``said`` already does,
    and ``fix`` says how to fix it.
    """

    part: str
    level: Level
    said: str
    why: str = ""
    fix: str = ""


Examination = Callable[[], Iterator[Finding]]


def ok(part: str, said: str) -> Finding:
    """Return a finding that something is correct."""
    return Finding(part, Level.OK, said)


def warning(part: str, said: str, *, fix: str, why: str = "") -> Finding:
    """Return a finding that something is risky."""
    return Finding(part, Level.WARNING, said, why, fix)


def wrong(part: str, said: str, *, fix: str, why: str = "") -> Finding:
    """Return a finding that something does not work."""
    return Finding(part, Level.WRONG, said, why, fix)


def of_trouble(part: str, level: Level, trouble: str) -> Finding:
    """Return a finding for a problem of the readiness check. The text of such a problem ends with `: ` and
    the fix.
    """
    said, _, fix = trouble.rpartition(": ")
    return Finding(part, level, said, fix=f"{fix[:1].upper()}{fix[1:]}.")


def many(count: int, noun: str) -> str:
    """Return a count with its noun, such as `3 problems`."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
