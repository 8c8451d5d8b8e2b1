"""Limit how many requests of one person can wait for approval."""

from __future__ import annotations

import datetime as dt

from django.conf import settings

from accounts.models import Identity
from accounts.operations.lock_person import lock_person
from accounts.queries import persons_of
from broker.kernel.errors import StintError
from broker.kernel.postgresql.rows import ask
from sessions_app.models import AccessRequest

_NAMED = 3
# The pending requests of all accounts and machines of a person: either the urgent ones or all others.
_OPEN = """
SELECT request.id FROM sessions_app_accessrequest request
  JOIN accounts_identity requester ON requester.id = request.requester_id
  LEFT JOIN accounts_identity owner ON owner.id = requester.owner_id
 WHERE request.state = 'pending' AND request.lapses_at > %(now)s
   AND (requester.person = ANY(%(persons)s) OR owner.person = ANY(%(persons)s))
   AND %(urgent)s = (coalesce((SELECT first.kind FROM sessions_app_grant extended
                                 JOIN sessions_app_accessrequest first ON first.id = extended.request_id
                                WHERE extended.id = request.extends_id), request.kind)
                     IN ('incident', 'break_glass'))
"""


class TooManyOpenRequests(StintError):
    """Too many of your requests wait for approval. Withdraw some, or wait for a decision."""

    code = "too_many_open_requests"
    status = 429


def limit_requests(*, requester: Identity, urgent: bool, now: dt.datetime) -> None:
    """Reject a person's request if the maximum number of requests by all their accounts and machines is
    already waiting.

    Urgent requests (`AccessRequest.is_urgent`) are counted separately, so that neither kind blocks the other.
    Call this in the transaction that saves the request. Raises TooManyOpenRequests.
    """
    lock_person(identity=requester)
    persons = list(persons_of(requester))
    open_ = [pk for (pk,) in ask(_OPEN, now=now, persons=persons, urgent=urgent)]
    count, most = len(open_), settings.OPEN_REQUESTS_PER_PERSON
    if count < most:
        return
    found = AccessRequest.objects.filter(pk__in=open_).visible_to(requester)
    seen = [one.ref for one in found.order_by("number")[:_NAMED]]
    which = f", such as {', '.join(seen)}" if seen else ""
    raise TooManyOpenRequests(
        f"{count} requests from you and your machines are waiting for approval, which is the limit.",
        hint=f"Withdraw a request that you no longer need{which}, or wait until one is decided.",
    )
