"""The result of a single rule, and of a whole evaluation."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, ClassVar, Protocol

from sessions_app.policy.policies import Clause


def say_utc(moment: dt.datetime) -> str:
    """Format a time for rule messages: `Saturday 28 November 01:00 UTC`."""
    return f"{moment.astimezone(dt.UTC):%A %d %B %H:%M} UTC"


@dataclass(frozen=True, slots=True)
class Permit:
    """The rule permits the request. ``message`` gives the reason."""

    message: str


@dataclass(frozen=True, slots=True)
class Deny:
    """The rule denies the request. Includes the reason, the fix, and any values that would fix the request
    with one click.

    ``moments`` are the times that `say_utc` put into the text, so that a page can also show them in the
    reader's time zone.
    """

    message: str
    fix: str = ""
    offer: dict[str, Any] = field(default_factory=dict)
    moments: tuple[dt.datetime, ...] = ()


class Tagged(Protocol):
    """The base of rules: it has the name under which a rule's results appear."""

    tag: ClassVar[str]


@dataclass(frozen=True, slots=True)
class RuleResult:
    """The result of one rule, as shown by pages and the API.

    ``of`` is the rule's class, which identifies the result.
    """

    of: type[Tagged]
    permitted: bool
    message: str
    fix: str = ""
    offer: dict[str, Any] = field(default_factory=dict)
    moments: tuple[dt.datetime, ...] = ()

    @property
    def rule(self) -> str:
        """The public name of the rule."""
        return self.of.tag


class Outcome(StrEnum):
    """What would happen to the request if it were submitted now."""

    STARTS = "starts"
    NEEDS_APPROVAL = "needs_approval"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Decision:
    """The outcome, with the result of each rule and its reason."""

    outcome: Outcome
    results: tuple[RuleResult, ...]
    clauses: tuple[Clause, ...] = ()

    @property
    def refusals(self) -> tuple[RuleResult, ...]:
        """The rules that denied."""
        return tuple(result for result in self.results if not result.permitted)

    @property
    def faults(self) -> dict[str, list[str]]:
        """The messages of the rules that denied, by the rule's name."""
        return {result.rule: [f"{result.message} {result.fix}".strip()] for result in self.refusals}

    @property
    def moments(self) -> tuple[dt.datetime, ...]:
        """The times that these messages mention."""
        return tuple(moment for result in self.refusals for moment in result.moments)
