"""The record, as far as a reader may see it."""

from __future__ import annotations

import datetime as dt

from django.db.models import Q, QuerySet
from django.utils import timezone
from django.utils.dateparse import parse_date

from broker.audit.events import Event
from broker.audit.models import AuditEntry

FAMILIES = tuple(dict.fromkeys(event.family for event in Event))


def filtered(
    found: QuerySet[AuditEntry], *, event: str, actor: str, about: str, since: str, until: str
) -> QuerySet[AuditEntry]:
    """Narrow entries by what a form sent; dates are days in the reader's zone, both included."""
    if event:
        found = found.filter(Q(event=event) | Q(event__startswith=f"{event}."))
    if actor:
        found = found.filter(actor=actor)
    if about:
        found = found.filter(object_ref=about)
    if (first := _day(since)) is not None:
        found = found.filter(at__gte=first)
    if (last := _day(until)) is not None:
        found = found.filter(at__lt=last + dt.timedelta(days=1))
    return found


def _day(text: str) -> dt.datetime | None:
    try:
        day = parse_date(text)
    except ValueError:
        return None
    return timezone.make_aware(dt.datetime.combine(day, dt.time())) if day else None
