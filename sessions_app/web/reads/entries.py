"""The record, as far as a reader may see it."""

from __future__ import annotations

import datetime as dt

from django.db.models import F, Q, QuerySet, TextField, Value
from django.db.models.functions import Cast, Concat
from django.utils import timezone
from django.utils.dateparse import parse_date

from accounts.models import Identity
from broker.audit.events import Event
from broker.audit.models import AuditEntry
from broker.audit.queries import entries
from sessions_app.models import AccessPolicy, AccessRequest, Cluster, CommandSet, Grant

FAMILIES = tuple(dict.fromkeys(event.family for event in Event))


def visible_entries(identity: Identity) -> QuerySet[AuditEntry]:
    """Return the entries about what the identity may see, and of what it did; administrators see all."""
    every = entries()
    if identity.is_superuser:
        return every
    named = Concat(Value("REQ-"), Cast(F("number"), TextField()), output_field=TextField())
    requests = AccessRequest.objects.visible_to(identity).annotate(named=named).values("named")
    return every.filter(
        Q(actor=identity.username)
        | Q(object_type="grant", object_ref__in=Grant.objects.visible_to(identity).values("ref"))
        | Q(object_type="request", object_ref__in=requests)
        | Q(
            object_type="identity",
            object_ref__in=Identity.objects.filter(Q(pk=identity.pk) | Q(owner=identity)).values("username"),
        )
        | Q(object_type="cluster", object_ref__in=Cluster.objects.visible_to(identity).values("name"))
        | Q(object_type="command_set", object_ref__in=CommandSet.objects.visible_to(identity).values("name"))
        | Q(object_type="policy", object_ref__in=AccessPolicy.objects.visible_to(identity).values("name"))
        | Q(object_type="log")
    )


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
