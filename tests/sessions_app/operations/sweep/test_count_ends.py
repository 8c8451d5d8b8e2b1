"""The ends of each day are counted by how long after they were due their targets confirmed them."""

import datetime as dt

import pytest

from sessions_app.models import EndReason, EndsOfDay, Grant
from sessions_app.operations.grants.end_grant import end_grant
from sessions_app.operations.sweep.count_ends import count_ends
from sessions_app.queries.status.end_latency import Ends, ends_of, seconds_to_prove
from tests.support.world import acts

NOON = dt.datetime(2026, 11, 30, 12, tzinfo=dt.UTC)


def ended(
    world, took: float, *, at: dt.datetime = NOON, reason=EndReason.REVOKED, finish: bool = False
) -> Grant:
    """A grant that was proven over at a moment, so many seconds after its end was due."""
    due = at - dt.timedelta(seconds=took)
    # What may finish has five minutes more.
    began = due - dt.timedelta(minutes=5) if finish else due
    start = began - dt.timedelta(minutes=30)
    acts.awake(start)
    grant = world.grant(now=start, duration=1800 if reason == EndReason.EXPIRED else 3600)
    end_grant(grant_id=grant.pk, actor=None, reason=reason, now=began, cut=not finish)
    return acts.undo(grant, now=at)


def counted(now: dt.datetime = NOON) -> dict[tuple[str, str], tuple[int, int]]:
    count_ends(now=now)
    return {(str(one.day), one.cause): (one.total, one.late) for one in EndsOfDay.objects.all() if one.total}


def test_ends_are_counted_by_day_and_cause_and_those_over_two_seconds_are_late(world):
    yesterday = NOON - dt.timedelta(days=1)
    for took, at, reason in (
        (0.3, NOON, EndReason.REVOKED),
        (2.0, NOON, EndReason.EXPIRED),
        (2.1, NOON, EndReason.EXPIRED),
        (9.0, yesterday, EndReason.DEVIATION),
        (1.0, NOON - dt.timedelta(days=30), EndReason.REVOKED),
    ):
        ended(world, took, at=at, reason=reason)
    found = {
        ("2026-11-30", "revoke"): (1, 0),
        ("2026-11-30", "deadline"): (2, 1),
        ("2026-11-29", "revoke"): (1, 1),
    }
    assert counted() == found
    assert counted() == found, "counting again adds nothing"
    ended(world, 0.1)
    assert counted()["2026-11-30", "revoke"] == (2, 0)


def test_what_ends_right_before_midnight_is_counted_with_its_day_afterwards(world):
    midnight = dt.datetime(2026, 12, 1, tzinfo=dt.UTC)
    counted(midnight)
    ended(world, 0.1, at=midnight - dt.timedelta(milliseconds=1))
    assert counted(midnight + dt.timedelta(seconds=50))["2026-11-30", "revoke"] == (1, 0)


@pytest.mark.parametrize(
    ("more", "seconds"), [({}, 0.5), ({"reason": EndReason.EXPIRED}, 0.5), ({"finish": True}, 0.5)]
)
def test_an_end_is_due_at_the_deadline_when_it_began_or_when_the_last_command_had_to_finish(
    world, more, seconds
):
    grant = ended(world, 0.5, **more)
    assert seconds_to_prove(grant) == pytest.approx(seconds)
    counted()
    (day,) = EndsOfDay.objects.exclude(total=0)
    assert day.longest == pytest.approx(seconds)


def test_percentiles_are_right_to_a_tenth(world):
    for took in (0.1, 0.3, 0.5, 0.9):
        ended(world, took)
    counted()
    found = ends_of("revoke", NOON)
    assert found.within(0.5) == pytest.approx(0.3, rel=0.1)
    assert found.within(0.99) == pytest.approx(0.9, rel=0.1)


def test_the_error_budget_is_one_end_of_a_thousand():
    assert Ends(0, 0, 0.0, {}).budget_left == 1
    assert Ends(0, 0, 0.0, {}).within(0.5) is None
    assert Ends(10_000, 5, 3.0, {}).budget_left == pytest.approx(0.5)
    assert Ends(1_000, 3, 3.0, {}).budget_left == pytest.approx(-2)
