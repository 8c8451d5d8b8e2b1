"""Escalate overdue reviews of break-glass access."""

from __future__ import annotations

import datetime as dt

import structlog
from django.db import transaction

from broker.audit.actor import Actor
from broker.audit.events import Event
from broker.audit.record import record
from broker.kernel.each_free import BATCH
from sessions_app.models import Asks, Grant
from sessions_app.operations.notifications.notify import notify
from sessions_app.operations.notifications.notify_of_start import how_it_began
from sessions_app.queries.requests.deciders import administrators, holders_of

log = structlog.get_logger(__name__)


def escalate_reviews(now: dt.datetime) -> int:
    """Notify administrators of each overdue review once, and return the number of reviews.

    The holder's own accounts are not notified. If every administrator is one of these accounts, the
    escalation remains due.
    """
    escalated = 0
    with transaction.atomic():
        due = list(
            Grant.objects.select_for_update(skip_locked=True, no_key=True, of=("self",))
            .filter(
                reviewed_at__isnull=True,
                review_due_at__lte=now,
                review_escalated_at__isnull=True,
            )
            .select_related("holder__owner", "cluster", "workflow")
            .order_by("review_due_at")[:BATCH]
        )
        for grant in due:
            told = administrators(but=holders_of(grant))
            if not told:
                # The escalation remains due, so that the next available administrator is notified.
                log.warning("review.nobody_to_tell", grant=grant.ref)
                continue
            escalated += 1
            Grant.objects.filter(pk=grant.pk).update(review_escalated_at=now)
            record(
                event=Event.BREAKGLASS_OVERDUE,
                actor=Actor.system("sweep"),
                object_type="grant",
                object_ref=grant.ref,
                now=now,
                data={"notified": sorted(person.username for person in told)},
            )
            notify(
                people=told,
                event=Event.BREAKGLASS_OVERDUE,
                now=now,
                path=f"/grants/{grant.ref}/",
                asks=Asks.REVIEW,
                of=grant,
                subject=f"The review of {grant.ref} is overdue",
                body=(
                    f"{how_it_began(grant)} on {grant.cluster}. The holder can't get such access again "
                    "until a person has reviewed it."
                ),
            )
    return escalated
