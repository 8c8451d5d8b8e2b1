"""The counts and flags that every page shows its reader, read with one SQL statement."""

from __future__ import annotations

import datetime as dt
import itertools
from typing import Any, NamedTuple

from django.db.models import QuerySet, TextField
from django.db.models.functions import Cast

from accounts.models import Identity
from broker.audit.models import MAIN_LOG, AuditHead, AuditVerification
from sessions_app.models import Notice, TrustPolicy, WebhookEndpoint
from sessions_app.queries.identities.people import seen_through
from sessions_app.queries.requests.facts import document_in
from sessions_app.queries.requests.waiting import (
    Waiting,
    break_glass_policies,
    parts_waiting,
    unread_for,
)
from sessions_app.queries.statements.composed import Composed, Part, any_of, how_many, value_of, values_of

MOST_UNREAD = 99


class Verified(NamedTuple):
    """The result of the latest verification of the record."""

    at: dt.datetime
    ok: bool
    entries: int
    first_bad_seq: int | None


class Standing(NamedTuple):
    """The current counts and flags for one reader.

    ``seen`` is the number of the record's last entry, ``notice`` that of the reader's newest notification.
    ``unread`` counts the notifications that still need the reader's attention, at most 99. The next three are
    whether the reader can see other identities, webhooks and trust policies.
    """

    waiting: Waiting
    seen: int
    notice: int
    unread: int
    may_look: bool
    webhooks: bool
    trust_policies: bool
    may_break_glass: bool
    verified: Verified | None


def standing_of(reader: Identity, now: dt.datetime) -> Standing:
    """Return the counts and flags for a reader."""
    found = iter(_read(reader, now))
    waiting = Waiting(*itertools.islice(found, len(Waiting._fields)))
    at, *verified = itertools.islice(found, len(Verified._fields))
    seen, notice, unread, machines, policies, clusters, webhooks, trust, groups, texts = found
    return Standing(
        waiting=waiting,
        seen=seen or 0,
        notice=notice or 0,
        unread=unread,
        may_look=reader.is_superuser or machines or policies or clusters,
        webhooks=reader.is_superuser or webhooks,
        trust_policies=reader.is_superuser or trust,
        may_break_glass=any(_lets_break_glass(text, groups) for text in texts),
        verified=Verified(dt.datetime.fromisoformat(at), *verified) if at else None,
    )


def newest_of(reader: Identity) -> QuerySet[Notice]:
    """Return the reader's notifications, newest first."""
    return Notice.objects.filter(identity=reader).order_by("-pk")


def _lets_break_glass(text: str, groups: list[str]) -> bool:
    document = document_in(text)
    return bool(document and document.break_glass and not set(groups).isdisjoint(document.break_glass.groups))


def _parts(reader: Identity, now: dt.datetime) -> list[Part]:
    verified: QuerySet[Any] = AuditVerification.objects.filter(log=MAIN_LOG)
    documents = break_glass_policies(reader).annotate(text=Cast("document", TextField()))
    return [
        *parts_waiting(reader, now),
        *(value_of(verified.values(name)) for name in Verified._fields),
        value_of(AuditHead.objects.filter(log=MAIN_LOG).values("seq")),
        value_of(newest_of(reader).values("pk")),
        how_many(unread_for(reader, now), most=MOST_UNREAD),
        any_of(reader.machines.all()),
        *(any_of(rows) for rows in seen_through(reader)),
        any_of(WebhookEndpoint.objects.live().visible_to(reader)),
        any_of(TrustPolicy.objects.live().visible_to(reader)),
        values_of(reader.groups.values("name")),
        values_of(documents.values("text")),
    ]


_read = Composed("stint_standing", _parts)
