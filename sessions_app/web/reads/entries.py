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
    if (last := _day(until, end=True)) is not None:
        found = found.filter(at__lte=last)
    return found


def _day(text: str, *, end: bool = False) -> dt.datetime | None:
    """Return the first or the last moment of a day; None for what is no day, or one that UTC has no date for."""
    try:
        day = parse_date(text)
        if day is None:
            return None
        moment = timezone.make_aware(dt.datetime.combine(day, dt.time.max if end else dt.time.min))
        return moment.astimezone(dt.UTC)
    except (ValueError, OverflowError):
        return None
