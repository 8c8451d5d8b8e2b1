"""The timeline: the requests in a period, with their grants."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from django.db.models import QuerySet
from django.urls import reverse

from accounts.models import Identity
from sessions_app.models import (
    AccessPolicy,
    AccessRequest,
    Cluster,
    Grant,
    RequestKind,
)
from sessions_app.policy.windows import allowed, frozen
from sessions_app.queries.requests.facts import Unreadable, policy_document
from sessions_app.queries.statements.composed import Listed, Tabled, among, tabled
from sessions_app.queries.statements.related_names import BAR, WHOSE, with_names
from sessions_app.web.display import states as words
from sessions_app.web.display import timeline_chart as timeline
from sessions_app.web.display.timeline_spans import span_of_grant, span_of_request
from sessions_app.web.layout.pagination import Page, page_from
from sessions_app.web.record.timeline_found import MOST_COUNTED, first, newest_of
from sessions_app.web.record.timeline_question import By, Question

MOST_BARS = 80
KINDS: dict[str, words.Look] = {
    RequestKind.BREAK_GLASS: words.BREAK_GLASS,
    RequestKind.INCIDENT: words.Look("glass", "flame", "Incident"),
    RequestKind.EXTENSION: words.Look("mute", "plus", "Extension"),
}


@dataclass(frozen=True, slots=True)
class Board:
    """The timeline as a chart. ``left_out`` counts the bars that are not drawn. ``at_least`` means that
    the actual number may be higher.
    """

    chart: timeline.Board
    drawn: int
    left_out: int
    at_least: bool

    @property
    def says(self) -> str:
        """A note on bars that are not drawn; empty if all are drawn."""
        if not self.left_out:
            return ""
        more = "more than " if self.at_least else ""
        return f"Showing the first {self.drawn}; {more}{self.left_out} later ones are not shown."


@dataclass(frozen=True, slots=True)
class Row:
    """A row of the table: a request and the grant that it led to. ``kind`` is the label of an unusual kind of
    request.
    """

    request: AccessRequest
    look: words.Look
    starts: dt.datetime
    ends: dt.datetime
    kind: words.Look | None
    page: words.Linked


def named(found: QuerySet[AccessRequest]) -> QuerySet[AccessRequest]:
    """Load the rows related to requests that the bars, the table and the file need."""
    return (
        with_names(found).select_related("requester__owner", "grant__ended_by").prefetch_related("approvals")
    )


def _for_bars(found: QuerySet[AccessRequest]) -> QuerySet[AccessRequest]:
    """Load the columns and related rows of requests that a bar needs, and no others."""
    own = ("number", "kind", "state", "digest", "duration", "starts_at", "created_at", "lapses_at")
    related = (
        "requester__owner",
        "workflow",
        "extends",
        "cluster",
        "command_set_version__command_set",
        "grant",
    )
    of_owner = ("requester__owner__username", "requester__owner__name", "requester__owner__kind")
    read = (
        *own,
        *(f"requester__{name}" for name in WHOSE),
        *of_owner,
        "workflow__starts_at",
        "workflow__ends_at",
        "extends__expires_at",
        "cluster__name",
        "cluster__environment",
        "cluster__risk",
        "command_set_version__number",
        "command_set_version__command_set__name",
        *(f"grant__{name}" for name in BAR),
    )
    return found.select_related(*related).only(*read).prefetch_related("approvals")


_BARS = Listed(lambda _, __, ids: _for_bars(AccessRequest.objects.filter(among("pk", ids))), ids=list)


def board(question: Question, reader: Identity, now: dt.datetime) -> Board:
    """Return the chart: a row for each cluster, person or machine, with its bars stacked in lanes in front of
    windows and freezes.
    """
    start, end = question.stretch()
    ids, whole = first((question, start, end), reader, now, MOST_BARS + 1)
    rows = _BARS(reader, now, ids=ids[:MOST_BARS])
    groups = sorted(_groups(question.by, rows, now), key=lambda group: group.label.casefold())
    bands = _bands(question, reader, {group.key for group in groups} | {question.cluster}, start, end)
    place = question.cluster if question.by != By.CLUSTER else ""
    groups = [replace(group, bands=bands.get(place or group.key, ())) for group in groups]
    chart = timeline.draw_board(groups, start=start, end=end, now=now)
    return Board(chart, len(rows), whole - len(rows), whole >= MOST_COUNTED)


def _groups(by: By, rows: Iterable[AccessRequest], now: dt.datetime) -> Iterator[timeline.Group]:
    spans: dict[str, list[timeline.Span]] = {}
    heads: dict[str, AccessRequest] = {}
    for request in rows:
        key = request.cluster.name if by == By.CLUSTER else request.requester.username
        heads.setdefault(key, request)
        spans.setdefault(key, []).append(span_of(request, by, now))
    for key, request in heads.items():
        if by == By.CLUSTER:
            place = request.cluster
            yield timeline.Group(
                key=key,
                label=key,
                note=f"{place.get_environment_display()}, {place.risk} risk",
                url=reverse("cluster", args=[key]),
                identity=None,
                spans=spans[key],
            )
        else:
            who = request.requester
            note = who.username if who.is_person else f"{who.kind} of {who.owner}"
            yield timeline.Group(
                key=key,
                label=str(who),
                note=note,
                url=reverse("person", args=[key]),
                identity=who,
                spans=spans[key],
            )


def span_of(request: AccessRequest, by: By, now: dt.datetime) -> timeline.Span:
    """Return a request's bar: the bar of its grant, or of the grant that it would have led to."""
    what = str(request.command_set_version.command_set)
    note = f"{request.requester}, {what}" if by == By.CLUSTER else f"{request.cluster}, {what}"
    grant: Grant | None = getattr(request, "grant", None)
    if grant is not None:
        urgent = grant.break_glass or request.kind == RequestKind.INCIDENT
        span = span_of_grant(grant, note=note, identity=request.requester, urgent=urgent, now=now)
    else:
        span = span_of_request(request, now, note=note)
    return replace(span, label=str(request.requester) if by == By.CLUSTER else str(request.cluster))


def _bands(
    question: Question, reader: Identity, names: set[str], start: dt.datetime, end: dt.datetime
) -> dict[str, Sequence[timeline.Stretch]]:
    """Return the windows and freezes on each displayed cluster, by the policies that the reader can see."""
    if question.by != By.CLUSTER:
        names = {question.cluster} - {""}
    policies = (
        AccessPolicy.objects.live()
        .visible_to(reader)
        .filter(clusters__name__in=names)
        .distinct()
        .prefetch_related("clusters")
    )
    found: dict[str, list[timeline.Stretch]] = {}
    for policy in policies.order_by("name"):
        stretches = _stretches_of(policy, start, end)
        for cluster in policy.clusters.all():
            found.setdefault(cluster.name, []).extend(stretches)
    return {name: found[name] for name in names if name in found}


def _stretches_of(policy: AccessPolicy, start: dt.datetime, end: dt.datetime) -> list[timeline.Stretch]:
    try:
        document = policy_document(policy)
    except Unreadable:
        return []  # An unreadable policy allows nothing, and restricts no other policy.
    windows = [
        timeline.Stretch(opens, closes, "open", f"Allowed window of {policy.name}")
        for opens, closes in allowed(document.windows or (), start, end)
    ]
    return windows + [
        timeline.Stretch(begins, ends, "frozen", f"Freeze of {policy.name}: {reason}")
        for begins, ends, reason in frozen(document.freezes, start, end)
    ]


def table(question: Question, reader: Identity, now: dt.datetime, before: str) -> Page[AccessRequest]:
    """Return a page of the table, latest requests first. Their ids are selected before the rows are read in
    full.
    """
    asked = (question, *question.stretch())

    def read(limit: int) -> list[AccessRequest]:
        newest = tabled(newest_of, asked, limit)(reader, now)
        return _NAMED(reader, now, ids=[pk for (pk,) in newest])

    return page_from(read, key="number", before=before)


_NAMED = Listed(
    lambda _, __, ids: named(AccessRequest.objects.filter(among("pk", ids))).order_by("-number"), ids=list
)
_CLUSTERS = Tabled(lambda reader, _: Cluster.objects.visible_to(reader).order_by("name").values_list("name"))


def clusters_of(reader: Identity, now: dt.datetime, chosen: str) -> list[str]:
    """Return the names of the clusters that the reader can see, and the selected one."""
    found = [name for (name,) in _CLUSTERS(reader, now)]
    return found if not chosen or chosen in found else [*found, chosen]


def row_of(request: AccessRequest, now: dt.datetime) -> Row:
    """Convert a request to a table row."""
    grant: Grant | None = getattr(request, "grant", None)
    page = (
        words.Linked(grant.ref, reverse("grant", args=[grant.ref]))
        if grant
        else words.Linked(request.ref, reverse("request", args=[request.ref]))
    )
    return Row(request, look_of(request, now), *times_of(request, now), KINDS.get(request.kind), page)


def look_of(request: AccessRequest, now: dt.datetime) -> words.Look:
    """Return the display style of a row: that of the grant, or of the request if there is no grant."""
    grant: Grant | None = getattr(request, "grant", None)
    if grant is not None:
        return words.grant_look(grant, now)
    return words.request_look(request, now)


def times_of(request: AccessRequest, now: dt.datetime) -> tuple[dt.datetime, dt.datetime]:
    """Return a row's start and end."""
    span = span_of(request, By.CLUSTER, now)
    return span.start, span.end
