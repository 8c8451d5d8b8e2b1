"""Statements that are composed once and asked for many readers."""

import datetime as dt

import pytest

from accounts.models import Identity
from sessions_app.models import Grant
from sessions_app.queries.statements.composed import Composed, any_of, how_many, value_of, values_of


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
