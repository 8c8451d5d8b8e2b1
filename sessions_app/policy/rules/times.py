"""Rules about start times and durations."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import ClassVar

from sessions_app.policy.decision import Deny, Permit, say_utc
from sessions_app.policy.durations import say_duration
from sessions_app.policy.rules.facts import Ask, Facts, start_of
from sessions_app.policy.starts import begins_at
from sessions_app.policy.windows import Freeze, Window, covering, next_free

_TOLERANCE = dt.timedelta(minutes=1)
# In seconds. A shorter duration would be useless.
_SHORTEST = 60


@dataclass(frozen=True, slots=True)
class MaxDuration:
    """Limits the duration to the policy's maximum."""

    tag: ClassVar[str] = "max_duration"
    policy: str
    seconds: int

    def verify(self, ask: Ask, facts: Facts) -> Permit | Deny:
        asked, limit = say_duration(ask.duration), say_duration(self.seconds)
        if 0 < ask.duration <= self.seconds:
            return Permit(f"{asked} is within the limit of {limit}.")
        return Deny(
            f"{asked} exceeds the limit of {limit}.", f"Choose at most {limit}.", {"duration": self.seconds}
        )


@dataclass(frozen=True, slots=True)
class Start:
    """Requires a start that is not in the past, and no further ahead than the policy allows."""

    tag: ClassVar[str] = "start"
    horizon: int

    def verify(self, ask: Ask, facts: Facts) -> Permit | Deny:
        start = start_of(ask, facts)
        if start + _TOLERANCE < facts.now:
            return Deny("The start is in the past.", "Choose a later start.", {"starts_at": None})
        if start > facts.now + dt.timedelta(seconds=self.horizon):
            # A start time in the request can be moved earlier, but the start of a workflow can't.
            latest = (facts.now + dt.timedelta(seconds=self.horizon)).replace(second=0, microsecond=0)
            return Deny(
                f"The start is more than {say_duration(self.horizon)} ahead.",
                f"Submit the request within {say_duration(self.horizon)} of the start.",
                {"starts_at": latest.isoformat()}
                if ask.starts_at and not _before_workflow(latest, facts)
                else {},
            )
        if ask.starts_at is not None:
            return Permit("Access starts at the requested time.")
        return Permit(f"Starts with {ask.workflow}." if start > facts.now else "Access starts on approval.")


def _before_workflow(moment: dt.datetime, facts: Facts) -> bool:
    return (
        facts.workflow is not None
        and facts.workflow.starts_at is not None
        and moment < facts.workflow.starts_at
    )


@dataclass(frozen=True, slots=True)
class InWindow:
    """Requires that the whole requested time is within the policy's windows."""

    tag: ClassVar[str] = "in_window"
    windows: tuple[Window, ...]

    def verify(self, ask: Ask, facts: Facts) -> Permit | Deny:
        start = start_of(ask, facts)
        if covering(self.windows, start, start + dt.timedelta(seconds=ask.duration)):
            return Permit("The requested time is in an allowed window.")
        return self._deny(ask, facts)

    def _deny(self, ask: Ask, facts: Facts) -> Deny:
        earliest = begins_at(facts.now, workflow=facts.workflow.starts_at if facts.workflow else None)
        opens, longest = next_free(self.windows, earliest, ask.duration)
        if opens == earliest:
            when = "now" if earliest == facts.now else f"when {ask.workflow} begins"
            return Deny(
                "The requested time is not in an allowed window.",
                f"A window that is long enough is open {when}.",
                {"starts_at": None},
            )
        if opens is not None:
            return Deny(
                "The requested time is not in an allowed window.",
                f"The next window that is long enough starts {say_utc(opens)}.",
                {"starts_at": opens.isoformat()},
                (opens,),
            )
        if longest < _SHORTEST:
            return Deny(
                "There is no upcoming allowed window.", "Ask an administrator of the policy to add one."
            )
        return Deny(
            f"No allowed window is long enough for {say_duration(ask.duration)}.",
            f"The longest allowed window is {say_duration(longest)}.",
            {"duration": longest},
        )


@dataclass(frozen=True, slots=True)
class NotFrozen:
    """Refuses planned access during a freeze."""

    tag: ClassVar[str] = "not_frozen"
    freezes: tuple[Freeze, ...]

    def verify(self, ask: Ask, facts: Facts) -> Permit | Deny:
        start = start_of(ask, facts)
        end = start + dt.timedelta(seconds=ask.duration)
        for freeze in self.freezes:
            if freeze.touches(start, end):
                return Deny(
                    f"Frozen until {say_utc(freeze.end)}: {freeze.reason}.",
                    "Start after the freeze.",
                    {"starts_at": freeze.end.isoformat()},
                    (freeze.end,),
                )
        return Permit("No freeze applies at that time.")
