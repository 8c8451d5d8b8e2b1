"""Limit how many requests of one person can wait for approval."""

from __future__ import annotations

import datetime as dt

from django.conf import settings

from accounts.models import Identity
from accounts.operations.lock_person import lock_person
from accounts.queries import same_person
from broker.kernel.errors import StintError
from sessions_app.models import AccessRequest, RequestState
from sessions_app.models.request import URGENT

_NAMED = 3


class TooManyOpenRequests(StintError):
    """Too many of your requests wait for approval. Withdraw some, or wait for a decision."""

    code = "too_many_open_requests"
    status = 429


def limit_requests(*, requester: Identity, urgent: bool, now: dt.datetime) -> None:
    """Reject another request of a person, by any account or machine of theirs, if the maximum number is
    already waiting.

    Urgent requests (`AccessRequest.is_urgent`) are counted separately, so that neither kind blocks the other.
    Call it in the transaction that saves the request. Raises TooManyOpenRequests.
    """
    lock_person(identity=requester)
    theirs = Identity.objects.filter(same_person(requester))
    found = AccessRequest.objects.filter(
        URGENT if urgent else ~URGENT, requester__in=theirs, state=RequestState.PENDING, lapses_at__gt=now
    )
    count, most = found.count(), settings.OPEN_REQUESTS_PER_PERSON
    if count < most:
        return
    seen = [one.ref for one in found.visible_to(requester).order_by("number")[:_NAMED]]
    which = f", such as {', '.join(seen)}" if seen else ""
    raise TooManyOpenRequests(
        f"{count} requests from you and your machines are waiting for approval, which is the limit.",
        hint=f"Withdraw one that you no longer need{which}, or wait until one is decided.",
    )
