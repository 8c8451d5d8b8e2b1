"""Store that an item is waiting for a person's decision, so that the item is escalated if no one decides."""

from __future__ import annotations

import datetime as dt

from sessions_app.models import AccessRequest, CommandRun, Escalation, Grant
from sessions_app.policy.policies import PolicyDocument


def await_answer(
    *, of: AccessRequest | CommandRun | Grant, document: PolicyDocument, now: dt.datetime
) -> None:
    """Start the escalation timer for a request, a held command, or the review of break-glass access.

    Does nothing unless the policy has escalation steps. A timer that has already started stays unchanged.
    Call this in the transaction in which the wait begins.
    """
    if not document.escalation:
        return
    name = {AccessRequest: "request", CommandRun: "run", Grant: "grant"}[type(of)]
    due = now + dt.timedelta(seconds=document.escalation[0].after)
    Escalation.objects.get_or_create(**{name: of}, defaults={"began_at": now, "due_at": due})
