"""Withdraw a request."""

from __future__ import annotations

import datetime as dt

from django.db import transaction

from accounts.actors import actor_of
from accounts.models import Identity, answered_for_by
from broker.audit.backlog import record_end
from broker.audit.events import Event
from broker.kernel.errors import NotFound
from sessions_app.models import AccessRequest, RequestState
from sessions_app.operations.notifications.notify import notify
from sessions_app.operations.requests.decide_request import AlreadyDecided


def withdraw_request(*, request_id: int, actor: Identity, now: dt.datetime) -> AccessRequest:
    """Withdraw a request of the actor, or of a machine that the actor owns. Raises NotFound,
    AlreadyDecided.
    """
    with transaction.atomic():
        request = (
            AccessRequest.objects.filter(answered_for_by(actor, "requester"), pk=request_id)
            .select_for_update(no_key=True, of=("self",))
            .first()
        )
        if request is None:
            raise NotFound("Request not found.")
        if request.state != RequestState.PENDING:
            raise AlreadyDecided(f"{request.ref} is already {request.state}.", hint="End the grant instead.")
        request.state, request.decided_at = RequestState.WITHDRAWN, now
        request.save(update_fields=["state", "decided_at"])
        record_end(
            event=Event.REQUEST_WITHDRAWN,
            actor=actor_of(actor),
            object_type="request",
            object_ref=request.ref,
            now=now,
            data={},
        )
        asker = request.requester.owner or request.requester
        if asker != actor:
            notify(
                people=[asker],
                event=Event.REQUEST_WITHDRAWN,
                now=now,
                path=f"/requests/{request.ref}/",
                subject=f"{actor} withdrew {request.ref}",
                body=f"{request.command_set_version.command_set} on {request.cluster}",
            )
    return request
