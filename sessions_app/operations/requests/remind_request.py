"""Remind the approvers who can still decide a request."""

from __future__ import annotations

import datetime as dt

from django.db import transaction

from accounts.actors import actor_of
from accounts.models import Identity, answered_for_by
from broker.audit.events import Event
from broker.audit.record import record
from broker.kernel.errors import Conflict, NotFound
from sessions_app.models import AccessRequest, RequestState
from sessions_app.operations.notifications.notify_approvers import notify_approvers
from sessions_app.operations.requests.decide_request import AlreadyDecided
from sessions_app.policy.durations import say_duration
from sessions_app.queries.requests.deciders import deciders_of
from sessions_app.queries.requests.to_decide import facts_to_decide, subject_of

PAUSE = dt.timedelta(minutes=10)


class MayNotRemind(Conflict):
    """Approvers were notified less than a minute ago, or there is no one to notify. Wait, and try again."""

    code = "may_not_remind"


def remind_request(*, request_id: int, actor: Identity, now: dt.datetime) -> AccessRequest:
    """Notify the approvers who can still decide a request, at most once every 10 minutes.

    The request must belong to the actor, or to a machine that the actor owns. Raises NotFound,
    AlreadyDecided, MayNotRemind.
    """
    with transaction.atomic():
        request = (
            AccessRequest.objects.filter(answered_for_by(actor, "requester"), pk=request_id)
            .select_for_update(no_key=True, of=("self",))
            .select_related("requester__owner", "cluster", "policy", "command_set_version__command_set")
            .first()
        )
        if request is None:
            raise NotFound("Request not found.")
        if request.state != RequestState.PENDING or request.lapses_at <= now:
            raise AlreadyDecided(
                f"{request.ref} is no longer pending.", hint="Open the request to see its status."
            )
        people = _people(request, now)
        request.reminded_at = now
        request.save(update_fields=["reminded_at"])
        record(
            event=Event.REQUEST_REMINDED,
            actor=actor_of(actor),
            object_type="request",
            object_ref=request.ref,
            now=now,
            data={"notified": sorted(person.username for person in people)},
        )
        notify_approvers(
            people=people,
            event=Event.REQUEST_REMINDED,
            subject=f"Reminder: {subject_of(request)}",
            body=facts_to_decide(request, now),
            path=f"/approvals/{request.ref}/",
            of=request,
            again=True,
            now=now,
        )
    return request


def _people(request: AccessRequest, now: dt.datetime) -> list[Identity]:
    if request.reminded_at is not None and now - request.reminded_at < PAUSE:
        again = request.reminded_at + PAUSE
        raise MayNotRemind(
            "Approvers were reminded less than 10 minutes ago.",
            hint=(
                "Remind them again in"
                f" {say_duration(max(60, round((again - now).total_seconds()) // 60 * 60))}."
            ),
        )
    people = deciders_of(request)
    if not people:
        raise MayNotRemind("No approver is available.", hint="Ask an administrator to add approvers.")
    return people
