"""Expire a request whose workflow ends before a decision."""

from __future__ import annotations

import datetime as dt

from accounts.models import Identity
from broker.audit.actor import Actor
from broker.audit.backlog import record_end
from broker.audit.events import Event
from sessions_app.models import AccessRequest, Asks, RequestState, Workflow
from sessions_app.operations.notifications.notify import notify
from sessions_app.queries.requests import facts
from sessions_app.queries.requests.deciders import deciders_of


def lapse_request(
    *,
    request: AccessRequest,
    workflow: Workflow,
    why: str,
    by: Actor,
    now: dt.datetime,
    but: Identity | None = None,
) -> None:
    """Expire a pending, locked request with its workflow. Notify its requester and approvers, with the reason
    ``why``.

    ``but`` is the person who ended the workflow, and who isn't notified.
    """
    request.state, request.decided_at = RequestState.LAPSED, now
    request.save(update_fields=["state", "decided_at"])
    record_end(
        event=Event.REQUEST_LAPSED,
        actor=by,
        object_type="request",
        object_ref=request.ref,
        now=now,
        data={"closed": workflow.ref},
    )
    what = f"{request.command_set_version.command_set} on {request.cluster}"
    asker = request.requester.owner or request.requester
    for people, path, asks, rest in (
        (
            [asker],
            f"/requests/{request.ref}/",
            Asks.AGAIN,
            "You can submit a new request for another workflow.",
        ),
        (_approvers(request), f"/approvals/{request.ref}/", Asks.NOTHING, "No decision is needed anymore."),
    ):
        notify(
            people=[one for one in people if one != but],
            event=Event.REQUEST_LAPSED,
            now=now,
            path=path,
            asks=asks,
            of=request,
            subject=f"{request.ref} expired: {why}",
            body=f"{request.requester}, {what}\n{rest}",
        )


def _approvers(request: AccessRequest) -> list[Identity]:
    """Return the people who can still decide the request, or already have.

    If the policy can't be read, the result is empty, because nothing may prevent an end.
    """
    if facts.readable_document(request.policy) is None:
        return []
    given = Identity.objects.filter(approvals__request=request, approvals__voided_at__isnull=True)
    return list({one.pk: one for one in (*deciders_of(request), *given)}.values())
