"""Statements that are composed once and asked for many readers."""

import datetime as dt

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.db import connection
from django.db.models import F
from django.test.utils import CaptureQueriesContext

from accounts.models import Identity
from broker.kernel.snapshot import one_snapshot
from sessions_app.models import AccessPolicy, Grant
from sessions_app.models.visibility import hold_still
from sessions_app.queries.statements.composed import (
    Composed,
    Listed,
    Tabled,
    among,
    any_of,
    first_of,
    how_many,
    tabled,
    value_of,
    values_of,
)


def own(reader: Identity, now: dt.datetime):
    mine = Grant.objects.filter(holder=reader, expires_at__gt=now).exclude(ref="100%")
    return [how_many(mine), any_of(mine), value_of(mine.values("ref")), values_of(mine.values("ref"))]


def test_each_reader_and_each_time_has_its_own_answer_from_one_composition(world, now):
    composed = []
    ask = Composed("stint_test_own", lambda *asked: composed.append(asked) or own(*asked))
    grant = world.grant()
    assert ask(world.alice, now) == [1, True, grant.ref, [grant.ref]]
    assert ask(world.bob, now) == [0, False, None, []]
    assert ask(world.alice, grant.expires_at) == [0, False, None, []]
    assert len(composed) == 1
    assert ask(world.robot, now)[0] == 0
    assert len(composed) == 2


def test_rows_that_can_not_exist_are_no_rows(world, now):
    none = Grant.objects.none()
    parts = [how_many(none), any_of(none), value_of(none.values("ref")), values_of(none.values("ref"))]
    assert Composed("stint_test_none", lambda *_: parts)(world.alice, now) == [0, False, None, []]


def test_a_time_that_is_reckoned_with_is_refused_since_it_would_stay_the_same(world, now):
    late = Composed(
        "stint_test_late",
        lambda _, at: [any_of(Grant.objects.filter(expires_at__lte=at + dt.timedelta(minutes=1)))],
    )
    with pytest.raises(TypeError, match="Do the arithmetic in the database"):
        late(world.alice, now)


def listed(reader: Identity, now: dt.datetime, ids: list[int], below: str, since: dt.datetime, least: int):
    """Grants of a reader with everything that a list can have."""
    mine = Grant.objects.filter(
        among("pk", ids),
        holder=reader,
        expires_at__gt=now,
        ref__lt=below,
        created_at__gte=since,
        attempts__gte=least,
    ).exclude(ref="100%")
    shown = first_of(mine, "-pk", most=2).select_related("cluster", "ended_by").defer("cluster__connection")
    return shown.annotate(asked=F("request__number")).prefetch_related("request__approvals")


def values(*grants: Grant) -> dict:
    return {
        "ids": [grant.pk for grant in grants],
        "below": "GR-ZZZZ",
        "since": dt.datetime(2000, 1, 1, tzinfo=dt.UTC),
        "least": 0,
    }


def facts(grant: Grant) -> tuple:
    known = {name: value for name, value in vars(grant).items() if not name.startswith("_")}
    approvals = [list(grant.request.approvals.all())]
    return known, grant.cluster.name, grant.cluster.get_deferred_fields(), approvals


def ask_for() -> Listed[Grant]:
    return Listed(listed, ids=list, below=str, since=dt.datetime, least=int)


def test_a_list_has_the_rows_of_its_query_for_each_reader_and_each_value(world, now):
    grants = [world.grant(parameters={"unit": unit}) for unit in ("nginx", "haproxy", "nginx")]
    foreign = world.grant(who=world.deployer)
    lists, given = ask_for(), values(*grants, foreign)
    for reader in Identity.objects.all():
        found = lists(reader, now, **given)
        assert [facts(one) for one in found] == [facts(one) for one in listed(reader, now, **given)]
    assert [one.ref for one in lists(world.alice, now, **given)] == [grants[2].ref, grants[1].ref]
    assert [one.asked for one in lists(world.deployer, now, **given)] == [foreign.request.number]
    assert [one.ref for one in lists(world.alice, now, **given | {"ids": [grants[0].pk]})] == [grants[0].ref]
    for other in ({"below": ""}, {"since": now + dt.timedelta(days=1)}, {"least": 1}, {"ids": []}):
        assert lists(world.alice, now, **given | other) == []
    assert lists(world.alice, grants[2].expires_at, **given) == []


def test_a_list_costs_one_statement_and_what_it_prefetches(world, now):
    grant, lists = world.grant(), ask_for()
    lists(world.alice, now, **values(grant))
    with CaptureQueriesContext(connection) as statements:
        (found,) = lists(world.alice, now, **values(grant))
        assert found.cluster.name == "web"
        assert [one.approver_id for one in found.request.approvals.all()] == [world.bob.pk]
    assert len(statements) == 3


@pytest.mark.parametrize(
    "compose",
    [
        lambda reader, _, least: Grant.objects.filter(holder=reader, attempts__gte=least + 1),
        lambda reader, _, least: Grant.objects.filter(holder=reader)[:least],
    ],
)
def test_a_value_that_would_become_a_constant_is_refused(world, now, compose):
    with pytest.raises(ImproperlyConfigured, match="Compare least with a column"):
        Listed(compose, least=int)(world.alice, now, least=1)


def test_a_reader_whose_token_is_bound_to_a_workflow_is_refused(world, now):
    world.alice.bound_to = "CHG-1"
    for statement in (Composed("stint_test_bound", own), Listed(lambda *_: Grant.objects.all())):
        with pytest.raises(ImproperlyConfigured, match="bound to a workflow"):
            statement(world.alice, now)


def test_a_list_that_does_not_depend_on_its_reader_needs_none(world, now):
    grant = world.grant()
    live = Listed(lambda _, at: Grant.objects.filter(expires_at__gt=at))
    assert live(None, now) == [grant]
    assert live(None, grant.expires_at) == []


def test_a_list_without_possible_rows_is_empty_without_a_statement(world, now):
    nothing = Listed(lambda *_: Grant.objects.none())
    with CaptureQueriesContext(connection) as statements:
        assert nothing(world.alice, now) == []
    assert len(statements) == 0


def test_a_list_is_read_in_a_snapshot_and_after_the_connection_was_replaced(live_world):
    grant, lists = live_world.grant(), ask_for()
    for _ in range(2):
        with one_snapshot():
            assert lists(live_world.alice, live_world.now, **values(grant)) == [grant]
        connection.close()
        assert lists(live_world.alice, live_world.now, **values(grant)) == [grant]


def seen(reader: Identity, _: dt.datetime):
    """What a reader may see, with values that Django converts, such as the state of a grant that ends."""
    return Grant.objects.visible_to(reader).order_by("ref").values_list("ref", "state", "parameters")


def unseen(reader: Identity, _: dt.datetime):
    own = AccessPolicy.objects.holding(reader, "view", "approve")
    return Grant.objects.exclude(policy__in=own).order_by("ref").values_list("ref")


@pytest.mark.parametrize("compose", [seen, unseen])
@pytest.mark.parametrize("still", [False, True])
def test_columns_are_those_of_each_reader_whoever_was_composed_for(world, now, compose, still):
    for who in (world.alice, world.robot):
        world.grant(who=who)
    table = Tabled(compose)
    for reader in (world.charlie, world.alice, world.bob, world.admin, world.robot):
        expected = list(compose(reader, now))
        if still:
            hold_still(reader)
        assert table(reader, now) == expected, reader


def test_values_of_columns_are_never_read_as_sql(world, now):
    table = Tabled(lambda _, __, ref: Grant.objects.filter(ref=ref).values_list("ref"), ref=str)
    grant = world.grant()
    assert table(world.alice, now, ref=grant.ref) == [(grant.ref,)]
    for odd in ("100% '); --", "%(me)s", "{}", '"'):
        assert table(world.alice, now, ref=odd) == []


def test_a_statement_around_columns_reads_them(world, now):
    world.grant()
    count = Tabled(seen, around="SELECT count(*), min(ref) FROM ({}) found")
    assert count(world.charlie, now) == [(0, None)]
    assert count(world.alice, now)[0][0] == 1


def test_each_key_has_its_own_columns_from_one_composition(world, now):
    composed = []

    def compose(reader: Identity, at: dt.datetime, ref: str):
        composed.append(ref)
        return seen(reader, at).filter(ref=ref)

    grant = world.grant()
    for _ in range(2):
        assert len(tabled(compose, grant.ref)(world.alice, now)) == 1
        assert tabled(compose, "GR-NONE")(world.alice, now) == []
    assert composed == [grant.ref, "GR-NONE"]
