"""What waits for a person's decision, or answer."""

from __future__ import annotations

import datetime as dt
from typing import NamedTuple

from django.db.models import F, OuterRef, Prefetch, QuerySet, Subquery
from django.db.models.fields.json import KeyTextTransform

from accounts.models import Identity, answered_for_by
from accounts.queries import group_names
from sessions_app.models import (
    AccessPolicy,
    AccessRequest,
    CommandRun,
    Comment,
    Grant,
    RequestState,
    requestable,
)
from sessions_app.queries import deciders
from sessions_app.queries.counted import counted
from sessions_app.queries.facts import readable_document
from sessions_app.queries.named import with_names


def holds_for(identity: Identity, now: dt.datetime) -> QuerySet[CommandRun]:
    """Return held commands that wait for the identity, those that lapse soonest first."""
    found = deciders.holds_for(identity, now).select_related("grant__holder", "grant__cluster", "target")
    return found.order_by("hold_lapses_at")


def requests_for(identity: Identity, now: dt.datetime) -> QuerySet[AccessRequest]:
    """Return requests that wait for the identity's verdict, those that lapse soonest first."""
    found = (
        deciders.requests_for(identity, now)
        .annotate(risk=KeyTextTransform("risk", "command_set_version__document"))
        .order_by("lapses_at")
    )
    return with_names(found, rules=True).select_related("workflow").prefetch_related("approvals__approver")


def reviews_for(identity: Identity) -> QuerySet[Grant]:
    """Return what began without approval, is over and waits for the identity's review, the most urgent first."""
    return with_names(deciders.reviews_for(identity)).order_by("review_due_at")


def live_glass_for(identity: Identity) -> QuerySet[Grant]:
    """Return what began without approval and is live, where the identity will review it, the newest first."""
    return (
        with_names(deciders.to_be_reviewed_by(identity).before_end())
        .select_related("request")
        .order_by("-pk")
    )


def releases_for(identity: Identity, now: dt.datetime) -> QuerySet[Grant]:
    """Return grants of others that are held since too much else was tried, where the identity may let them go on."""
    return with_names(deciders.releases_for(identity, now)).order_by("held_at")


def questions_for(identity: Identity, now: dt.datetime) -> QuerySet[AccessRequest]:
    """Return own requests, and those of own machines, that wait and in whose thread somebody else spoke last; each with its
    comments, the oldest first.
    """
    said = Prefetch("comments", Comment.objects.select_related("author").order_by("pk"), to_attr="said")
    return with_names(_questions(identity, now)).prefetch_related(said).order_by("lapses_at")


def _questions(identity: Identity, now: dt.datetime) -> QuerySet[AccessRequest]:
    if not identity.is_person:
        return AccessRequest.objects.none()
    last = Comment.objects.filter(request=OuterRef("pk")).order_by("-pk").values("author")[:1]
    own = answered_for_by(identity, "requester")
    return (
        AccessRequest.objects.filter(own, state=RequestState.PENDING, lapses_at__gt=now)
        .annotate(spoke=Subquery(last))
        .filter(spoke__isnull=False)
        .exclude(spoke=F("requester"))
        .exclude(spoke=identity.pk)
    )


class Waiting(NamedTuple):
    """How many held commands, requests, reviews, held grants and questions wait for somebody."""

    holds: int = 0
    requests: int = 0
    reviews: int = 0
    releases: int = 0
    questions: int = 0


def count_waiting(identity: Identity, now: dt.datetime) -> int:
    """Return how many things wait for the identity: for its decision, or for its answer."""
    return sum(counts_waiting(identity, now))


def counts_waiting(identity: Identity, now: dt.datetime) -> Waiting:
    """Return how many of each wait for the identity, in one statement: every page of everybody shows their number."""
    lists = (
        deciders.holds_for(identity, now), deciders.requests_for(identity, now), deciders.reviews_for(identity),
        deciders.releases_for(identity, now), _questions(identity, now),
    )  # fmt: skip
    return Waiting(*counted(lists))


def break_glass_policies(identity: Identity) -> list[AccessPolicy]:
    """Return the policies that let the identity start at once."""
    groups = group_names(identity)
    asked = requestable(identity).filter(cluster__removed_at__isnull=True).values("accesspolicy")
    found = AccessPolicy.objects.exclude(document__break_glass=None).filter(pk__in=asked)
    return [
        policy
        for policy in found
        if (document := readable_document(policy))
        and document.break_glass
        and groups.intersection(document.break_glass.groups)
    ]


def may_break_glass(identity: Identity) -> bool:
    """Whether a policy lets the identity start at once."""
    return bool(break_glass_policies(identity))
