"""What a rule answers and what an evaluation answers."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from sessions_app.policy.policies import Clause


def say_utc(moment: dt.datetime) -> str:
    """Return a moment as rules say it: `Saturday 28 November 01:00 UTC`."""
    return f"{moment.astimezone(dt.UTC):%A %d %B %H:%M} UTC"


@dataclass(frozen=True, slots=True)
class Permit:
    """The rule has nothing against it; ``message`` says why."""

    message: str


@dataclass(frozen=True, slots=True)
class Deny:
    """The rule denies: why, what to do, and, where one click could fix it, the values that would.

    ``moments`` are those that the words name by `say_utc`, for a door that says them in the reader's zone as well.
    """

    message: str
    fix: str = ""
    offer: dict[str, Any] = field(default_factory=dict)
    moments: tuple[dt.datetime, ...] = ()


@dataclass(frozen=True, slots=True)
class RuleResult:
    """One rule's answer, as pages and the API show it."""

    rule: str
    permitted: bool
    message: str
    fix: str = ""
    offer: dict[str, Any] = field(default_factory=dict)
    moments: tuple[dt.datetime, ...] = ()


class Outcome(StrEnum):
    """What would happen if the request were made now."""

    STARTS = "starts"
    NEEDS_APPROVAL = "needs_approval"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Decision:
    """The outcome, with each rule's yes or no and its reason."""

    outcome: Outcome
    results: tuple[RuleResult, ...]
    clauses: tuple[Clause, ...] = ()

    @property
    def refusals(self) -> tuple[RuleResult, ...]:
        """The rules that said no."""
        return tuple(result for result in self.results if not result.permitted)

    @property
    def faults(self) -> dict[str, list[str]]:
        """What they said, by rule."""
        return {result.rule: [f"{result.message} {result.fix}".strip()] for result in self.refusals}

    @property
    def moments(self) -> tuple[dt.datetime, ...]:
        """The moments that their words name."""
        return tuple(moment for result in self.refusals for moment in result.moments)
