"""The lists of pages that are composed once have the rows of their own queries, for every kind of reader."""

import datetime as dt
import sys
from collections.abc import Iterable, Iterator

import pytest
from django.db.models import Count, QuerySet

from accounts.models import Identity, Kind
from broker.kernel import clock
from sessions_app.models import AccessRequest, CommandRun, Grant, Notice, RequestState, RunState, Workflow
from sessions_app.operations.requests.comment_request import comment_request
from sessions_app.queries.requests import waiting
from sessions_app.queries.statements.composed import Listed
from sessions_app.web.home.home_page import MOST
from sessions_app.web.requests import requests
from tests.support.world.scene import make_scene

# The scene has no rows for these: nobody lately reduced what these readers approved, nothing of theirs
# expired, and no grant is delegated.
EMPTY = {
    "sessions_app.web.home.home_page._REDUCED",
    "sessions_app.queries.grants.end_preview._BELOW",
    "requests False lapsed",
}


def lists() -> Iterator[tuple[str, Listed]]:
    """All lists, by their names."""
    for module in [name for name in sys.modules if name.startswith("sessions_app.")]:
        for name, value in vars(sys.modules[module]).items():
            if isinstance(value, Listed):
                yield f"{module}.{name}", value
            elif isinstance(value, dict):
                yield from (
                    (f"{module}.{name} {key}", one) for key, one in value.items() if isinstance(one, Listed)
                )
    yield from waiting._lists(MOST).items()
    for state in ("", *dict(requests.STATES)):
        for everybody in (True, False):
            yield f"requests {everybody} {state}", requests._listed(everybody, state)


def values(reader: Identity, now: dt.datetime) -> dict:
    """A value for each name that lists use: with most rows."""
    asked = AccessRequest.objects.filter(state=RequestState.PENDING).first()
    return {
        "below": 2**62,
        "unread": [*Notice.objects.filter(identity=reader).values_list("pk", flat=True)[:1]],
        "mine": [asked.pk],
        "ids": [*AccessRequest.objects.values_list("pk", flat=True)],
        "held": [*CommandRun.objects.filter(state=RunState.HELD).values_list("pk", flat=True)],
        "grants": [*Grant.objects.values_list("pk", flat=True)],
        "about": [*Grant.objects.values_list("pk", flat=True)],
        "grant": Grant.objects.annotate(count=Count("runs")).latest("count").pk,
        "incident": Workflow.objects.annotate(count=Count("grants")).latest("count").pk,
        "ref": asked.ref,
        "text": "web",
        "cluster": asked.cluster_id,
        "people": [*Identity.objects.values_list("pk", flat=True)],
        "holder": asked.requester_id,
        "but": 0,
        "number": asked.number,
        "at": now,
        "since": now - dt.timedelta(days=90),
        "until": now,
        "start": now - dt.timedelta(hours=3),
        "end": now + dt.timedelta(hours=9),
    }


def facts(row, seen=()) -> object:
    """All that is known of a row and of its related rows."""
    if isinstance(row, tuple):
        return row
    here = (type(row), row.pk)
    if here in seen:
        return here
    known = {name: value for name, value in vars(row).items() if not name.startswith("_")}
    related = {name: one and facts(one, (*seen, here)) for name, one in row._state.fields_cache.items()}
    return known, related


def in_order(query: QuerySet, rows: Iterable) -> list:
    """The rows in the order of their query, or by their keys if it has none."""
    return [*rows] if query.ordered else sorted(rows, key=lambda one: one.pk)


@pytest.mark.slow
def test_every_list_has_the_rows_of_its_query_for_every_kind_of_reader(db, tmp_path):
    now = clock.now()
    scene = make_scene(now, tmp_path)
    world = scene.world
    asked = world.request(now=now)
    comment_request(request_id=asked.pk, author=world.bob, text="Which one?", now=now)
    world.decide(world.request(now=now), verdict="deny", comment="No")
    Grant.objects.filter(pk=scene.grant.pk).update(held_at=now)
    readers = [world.alice, world.bob, world.admin, world.robot, Identity.objects.create(username="nameless")]
    readers = [Identity.objects.get(pk=one.pk) for one in readers]
    assert {one.kind for one in readers} >= {Kind.PERSON, Kind.AGENT}
    empty = set()
    for name, listed in lists():
        found = []
        for reader in readers:
            given = {key: value for key, value in values(reader, now).items() if key in listed.names}
            query = listed.compose(reader, now, **given)
            own = [facts(one) for one in in_order(query, query)]
            rows = [facts(one) for one in in_order(query, listed(reader, now, **given))]
            assert rows == own, (name, reader)
            found += own
        empty |= set() if found else {name}
    assert empty == EMPTY
