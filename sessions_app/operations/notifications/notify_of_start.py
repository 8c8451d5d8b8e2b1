"""Notify approvers of access that started without their approval."""

from __future__ import annotations

import datetime as dt

from accounts.queries import each_person_in
from broker.audit.events import Event
from sessions_app.models import AccessRequest, Asks, Grant
from sessions_app.operations.notifications.notify import notify
from sessions_app.policy.policies import PolicyDocument
from sessions_app.policy.rules import Whose
from sessions_app.queries.workflows.doings import doing_of


def notify_of_start(
    *, request: AccessRequest, document: PolicyDocument, grant: Grant, now: dt.datetime
) -> None:
    """Notify all approvers of the policy or, if there are none, its administrators. The holder is never
    notified.
    """
    groups = document.approver_groups or (document.administrators or document.requesters).groups
    due = grant.review_due_at
    notify(
        people=each_person_in(groups, but=[request.requester]),
        event=Event.GRANT_SCHEDULED if due is None else Event.BREAKGLASS_STARTED,
        subject=f"{how_it_began(grant)} on {request.cluster}",
        body=lambda say: "\n".join(
            filter(
                None,
                [
                    request.reason,
                    f"Review the access by {say.moment(due)}, after it has ended." if due else "",
                ],
            )
        ),
        path=f"/grants/{grant.ref}/",
        asks=Asks.LIVE,
        of=grant,
        now=now,
    )


def how_it_began(grant: Grant) -> str:
    """Return how the holder got access without approval, as a phrase that precedes the cluster's name."""
    if grant.break_glass:
        return f"{grant.holder} used break-glass access"
    if grant.is_own_incident and grant.workflow:
        doing = doing_of(grant.holder, grant.workflow)
        if doing.whose is Whose.OWN:
            said = doing.said(grant.workflow.ref, str(grant.holder))
            return f"{said} and started access without approval"
        return f"{grant.holder} started access without approval for {grant.workflow}"
    return f"{grant.holder} has access for {grant.workflow}"
