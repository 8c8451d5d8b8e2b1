"""The items that wait for a person's decision or answer."""

from __future__ import annotations

import datetime as dt
import functools
from typing import Any, NamedTuple

from django.db.models import F, OuterRef, Prefetch, Q, QuerySet, Subquery
from django.db.models.fields.json import KeyTextTransform

from accounts.models import Identity, answered_for_by
from broker.audit.events import Event
from sessions_app.models import (
    AccessPolicy,
    AccessRequest,
    Asks,
    CommandRun,
    Comment,
    Grant,
    GrantQuerySet,
    RequestState,
    requestable,
)
from sessions_app.models.notice import NoticeQuerySet
from sessions_app.queries.notifications.notices import unread_of
from sessions_app.queries.requests import deciders
from sessions_app.queries.statements.composed import Listed, Part, first_of, how_many
from sessions_app.queries.statements.related_names import OF_GRANT, with_approvals, with_names


def holds_for(identity: Identity, now: dt.datetime) -> QuerySet[CommandRun]:
    """Return the held commands that wait for the identity's decision, soonest to expire first."""
    found = deciders.holds_for(identity, now).select_related(
        "grant__holder", "grant__cluster", "grant__policy", "target", "held_commit"
    )
    own = ("line", "argv", "command_index", "effect", "notes", "over_budget", "hold_lapses_at")
    beside = (
        "target__name",
        "held_commit",
        "grant__workflow",
        "grant__policy__name",
        "grant__policy__document",
    )
    return found.only(*own, *beside, *OF_GRANT).order_by("hold_lapses_at", "pk")


def pending(identity: Identity) -> QuerySet[AccessRequest]:
    """Return the pending requests that the identity may see."""
    return AccessRequest.objects.visible_to(identity).filter(state=RequestState.PENDING)


def requests_for(identity: Identity, now: dt.datetime, *, most: int) -> QuerySet[AccessRequest]:
    """Return the requests that wait for the identity's verdict, soonest to expire first, at most ``most``."""
    first = first_of(deciders.requests_for(identity, now), "lapses_at", "pk", most=most)
    risk = KeyTextTransform("risk", "command_set_version__document")
    return with_names(first.annotate(risk=risk), rules=True)


def reviews_for(identity: Identity) -> QuerySet[Grant]:
    """Return the ended access without approval that waits for the identity's review, most urgent first."""
    return with_names(deciders.reviews_for(identity)).order_by("review_due_at", "pk")


def live_glass_for(identity: Identity) -> GrantQuerySet:
    """Return the active access without approval that the identity will be asked to review."""
    return deciders.to_be_reviewed_by(identity).before_end()


def releases_for(identity: Identity, now: dt.datetime) -> QuerySet[Grant]:
    """Return other people's suspended grants that the identity can resume."""
    return (
        with_names(deciders.releases_for(identity, now)).select_related("held_by").order_by("held_at", "pk")
    )


def questions_for(identity: Identity, now: dt.datetime) -> QuerySet[AccessRequest]:
    """Return pending requests of the identity and its machines whose last comment is by another person.

    ``said`` has each request's comments, oldest first.
    """
    said = Prefetch("comments", Comment.objects.select_related("author").order_by("pk"), to_attr="said")
    return with_names(_questions(identity, now)).prefetch_related(said).order_by("lapses_at", "pk")


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
    """The numbers of held commands, requests, reviews, suspended grants and questions that wait for a
    person.
    """

    holds: int = 0
    requests: int = 0
    reviews: int = 0
    releases: int = 0
    questions: int = 0


def lists_for(identity: Identity, now: dt.datetime, counted: Waiting, *, most: int) -> dict[str, list[Any]]:
    """Return the items that wait for the identity, by the names of `Waiting`, at most ``most`` of each.

    Most lists are empty, and need no query.
    """
    found = {
        name: _lists(most)[name](identity, now) if count else [] for name, count in counted._asdict().items()
    }
    with_approvals(found["requests"])
    return found


@functools.cache
def _lists(most: int) -> dict[str, Listed[Any]]:
    return {
        "holds": Listed(lambda reader, now: holds_for(reader, now)[:most]),
        "requests": Listed(lambda reader, now: requests_for(reader, now, most=most)),
        "reviews": Listed(lambda reader, _: reviews_for(reader)[:most]),
        "releases": Listed(lambda reader, now: releases_for(reader, now)[:most]),
        "questions": Listed(lambda reader, now: questions_for(reader, now)[:most]),
    }


def parts_waiting(identity: Identity, now: dt.datetime) -> list[Part]:
    """Return the SQL expressions for the counts in `Waiting`, with the same conditions as the lists above."""
    lists: tuple[QuerySet[Any], ...] = (
        deciders.holds_for(identity, now),
        deciders.requests_for(identity, now),
        deciders.reviews_for(identity),
        deciders.releases_for(identity, now),
        _questions(identity, now),
    )
    return [how_many(rows) for rows in lists]


def break_glass_policies(identity: Identity) -> QuerySet[AccessPolicy]:
    """Return the policies with break-glass access, for any group, under which the identity can request
    access.
    """
    asked = requestable(identity).filter(cluster__removed_at__isnull=True).values("accesspolicy")
    return AccessPolicy.objects.exclude(document__break_glass=None).filter(pk__in=asked)


def unread_for(identity: Identity, now: dt.datetime) -> NoticeQuerySet:
    """Return the unread notifications that need the identity's action.

    A notification that the identity's own request was approved needs no action.
    """
    told = Q(asks=Asks.NOTHING) | Q(asks=Asks.LIVE, event=Event.REQUEST_APPROVED)
    return unread_of(identity, now).exclude(told)
