"""The runs of a grant, as pages list them: with who watches each, by filter, and counted."""

from __future__ import annotations

import datetime as dt
import functools

from django.contrib.postgres.expressions import ArraySubquery
from django.db.models import Count, F, OuterRef, Q, QuerySet, Value
from django.db.models.functions import Coalesce, NullIf

from accounts.models import Identity
from sessions_app.models import CommandRun, RunState, Watch
from sessions_app.queries.requests.deciders import holds_for
from sessions_app.queries.statements.composed import Listed, Tabled, among

# The number of runs on one page.
SIZE = 50
# In a longer log, only the latest entries are counted.
COUNTED = 1000
FILTERS: dict[str, Q] = {
    "held": Q(state__in=[RunState.HELD, RunState.HOLD_DENIED, RunState.HOLD_LAPSED, RunState.HOLD_WITHDRAWN]),
    "refused": Q(state__in=[RunState.REFUSED, RunState.HOLD_DENIED]),
    "changes": ~Q(effect__in=["read", ""]),
}


@functools.cache
def runs_of(show: str) -> Listed[CommandRun]:
    """Return the list of a grant's runs with this filter, as a statement composed once."""

    def compose(_: Identity, now: dt.datetime, grant: int, below: int) -> QuerySet[CommandRun]:
        runs = CommandRun.objects.filter(FILTERS.get(show, Q()), grant=grant, pk__lt=below)
        named = runs.select_related("target", "decided_by", "session", "order", "held_commit")
        watched = named.annotate(watched_by=ArraySubquery(_names_of_watchers(now)))
        return watched.defer("held_commit__sealed_content").order_by("-pk")[: SIZE + 1]

    return Listed(compose, grant=int, below=int)


def _names_of_watchers(now: dt.datetime) -> QuerySet[Watch, str]:
    """Return a subquery for the names of everyone who is watching a run now."""
    name = Coalesce(NullIf("watcher__name", Value("")), F("watcher__username"))
    watches = Watch.objects.confirmed(now).filter(run=OuterRef("pk")).order_by("began_at")
    return watches.values_list(name, flat=True)


def _held(reader: Identity, now: dt.datetime, held: list[int]) -> QuerySet[CommandRun]:
    return holds_for(reader, now).filter(among("pk", held)).only("pk")


# Those of these runs that the reader can decide now.
DECIDABLE = Listed(_held, held=list)


def _counted(_: Identity, __: dt.datetime, grant: int) -> QuerySet[CommandRun, tuple[int, ...]]:
    latest = CommandRun.objects.filter(grant=grant).order_by("-pk").values("pk")[: COUNTED + 1]
    wanted = {name: Count("pk", filter=condition) for name, condition in FILTERS.items()}
    # One group, of all of them.
    whole = CommandRun.objects.filter(pk__in=latest).values(whole=Value(1))
    return whole.annotate(all=Count("pk"), **wanted).values_list("all", *FILTERS)


# The number of a grant's latest runs, and of those in each of the filters; no row without runs.
KINDS = Tabled(_counted, grant=int)
