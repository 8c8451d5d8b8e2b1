"""The things that wait for a person's decision or answer."""

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
    """Return the held commands that wait for the identity. Those that lapse soonest come first."""
    found = deciders.holds_for(identity, now).select_related("grant__holder", "grant__cluster", "target")
    return found.order_by("hold_lapses_at")


def requests_for(identity: Identity, now: dt.datetime) -> QuerySet[AccessRequest]:
    """Return the requests that wait for the identity's verdict. Those that lapse soonest come first."""
    found = (
        deciders.requests_for(identity, now)
        .annotate(risk=KeyTextTransform("risk", "command_set_version__document"))
        .order_by("lapses_at")
    )
    return with_names(found, rules=True).select_related("workflow").prefetch_related("approvals__approver")


def reviews_for(identity: Identity) -> QuerySet[Grant]:
    """Return ended access that nobody approved and that waits for the identity's review, most urgent first."""
    return with_names(deciders.reviews_for(identity)).order_by("review_due_at")


def live_glass_for(identity: Identity) -> QuerySet[Grant]:
    """Return live access that nobody approved and that the identity will have to review, newest first."""
    return (
        with_names(deciders.to_be_reviewed_by(identity).before_end())
        .select_related("request")
        .order_by("-pk")
    )


def releases_for(identity: Identity, now: dt.datetime) -> QuerySet[Grant]:
    """Return grants of others that are held after too many refused commands and that the identity may release."""
    return with_names(deciders.releases_for(identity, now)).order_by("held_at")


def questions_for(identity: Identity, now: dt.datetime) -> QuerySet[AccessRequest]:
    """Return pending requests of the identity and its machines on which someone else made the last comment.

    Each has its comments, oldest first, in ``said``.
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
    """The numbers of held commands, requests, reviews, held grants and questions that wait for someone."""

    holds: int = 0
    requests: int = 0
    reviews: int = 0
    releases: int = 0
    questions: int = 0


def count_waiting(identity: Identity, now: dt.datetime) -> int:
    """Return how many things wait for the identity's decision or answer."""
    return sum(counts_waiting(identity, now))


def counts_waiting(identity: Identity, now: dt.datetime) -> Waiting:
    """Return how many things of each kind wait for the identity. It takes one statement, because every page shows the
    sum.
    """
    lists = (
        deciders.holds_for(identity, now), deciders.requests_for(identity, now), deciders.reviews_for(identity),
        deciders.releases_for(identity, now), _questions(identity, now),
    )  # fmt: skip
    return Waiting(*counted(lists))


def break_glass_policies(identity: Identity) -> list[AccessPolicy]:
    """Return the policies that let the identity start break-glass access."""
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
    """Whether a policy lets the identity start break-glass access."""
    return bool(break_glass_policies(identity))
