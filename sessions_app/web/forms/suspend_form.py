"""The content of the form that suspends a grant."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

from accounts.models import Identity, answers_for
from sessions_app.models import Grant, GrantState, Observed, RunState
from sessions_app.operations.grants.suspend_grant import is_suspendable
from sessions_app.queries.grants.end_preview import Ending, endings
from sessions_app.queries.grants.observing import observed_under

END_SEPARATELY = "End them one by one."


@dataclass(frozen=True, slots=True)
class SuspendForm:
    """The form that suspends one grant. ``own``: the reader holds the grant, so someone else must resume
    it.
    """

    grant: Grant
    ending: Ending
    own: bool

    @property
    def says(self) -> str:
        """The effects, as sentences."""
        return " ".join(part for part in (self._below, self._running, self._resumes) if part)

    @property
    def _below(self) -> str:
        many = self.ending.below
        below = f", nor under {many} delegated grant{'' if many == 1 else 's'}" if many else ""
        return f"Nothing new can run under {self.grant.ref}{below}."

    @property
    def _running(self) -> str:
        runs = [*self.ending.cut, *self.ending.finish]
        many = sum(1 for run in runs if run.state != RunState.HELD)
        if many == 1:
            return "1 running command continues. You can end it separately."
        if many:
            return f"{many} running commands continue. {END_SEPARATELY}"
        seen = observed_under(self.grant) == Observed.ALL
        return "Nothing is running." if seen else f"Running commands continue. {END_SEPARATELY}"

    @property
    def _resumes(self) -> str:
        return "Only an approver can resume it." if self.own else "You, or an approver, can resume it."


def suspend_form(
    grant: Grant, reader: Identity, now: dt.datetime, ending: Ending | None = None
) -> SuspendForm | None:
    """Return the form that suspends a grant that the reader can end; None if it can't be suspended now."""
    live = grant.state == GrantState.ACTIVE and grant.expires_at > now and grant.held_at is None
    if not live or not is_suspendable(grant):
        return None
    return SuspendForm(grant, ending or endings([grant], now)[grant.pk], answers_for(reader, grant.holder))
