"""Notify the people affected by the end of a grant."""

from __future__ import annotations

import datetime as dt

from django.utils.text import capfirst

from broker.audit.events import Event
from sessions_app.models import Asks, EndReason, Grant, Observed
from sessions_app.operations.notifications.await_answer import await_answer
from sessions_app.operations.notifications.notify import notify
from sessions_app.operations.notifications.notify_of_start import how_it_began
from sessions_app.queries.grants.observing import observed_under
from sessions_app.queries.requests import facts
from sessions_app.queries.requests.deciders import reviewers

# Ended by the holder, or together with all access for the workflow.
TOLD_ALREADY = (EndReason.RELEASED, EndReason.WORKFLOW_CLOSED)


def notify_of_end(*, grant: Grant, now: dt.datetime) -> None:
    """Notify the holder of the grant's end and its reason, unless they ended it themselves. If the grant
    started without approval, notify the policy's approvers that a review is needed.
    """
    what = f"{grant.command_set_version.command_set} on {grant.cluster}"
    path = f"/grants/{grant.ref}/"
    if grant.end_reason not in TOLD_ALREADY:
        note = f"\nNote: {grant.end_note}" if grant.end_note else ""
        notify(
            people=[grant.holder],
            event=Event.GRANT_ENDED,
            now=now,
            path=path,
            subject=f"{grant.ref} has ended: {what}",
            body=f"Reason: {capfirst(grant.why_ended)}{note}\nThe page has the receipt.",
        )
    due = grant.review_due_at
    if due is not None and grant.reviewed_at is None:
        notify(
            people=reviewers(grant),
            event=Event.BREAKGLASS_STARTED,
            now=now,
            path=path,
            asks=Asks.REVIEW,
            of=grant,
            subject=f"{grant.ref} needs a review: {how_it_began(grant)} on {grant.cluster}",
            body=lambda say: f"{_what_to_read(grant)} The review is due by {say.moment(due)}.",
        )
        if document := facts.readable_document(grant.policy):
            await_answer(of=grant, document=document, now=now)


def _what_to_read(grant: Grant) -> str:
    if observed_under(grant) == Observed.NOTHING:
        return (
            "Stint can't observe activity on this kind of cluster. Ask the holder and check the target,"
            " then describe what you found."
        )
    return "Review the commands that were run, then describe what you found."
