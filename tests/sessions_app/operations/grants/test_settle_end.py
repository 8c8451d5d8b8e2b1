"""The row of a grant follows an end that did not wait for it."""

import datetime as dt

import psycopg
import pytest

from sessions_app.models import EndIntent, EndReason, Grant
from sessions_app.operations.grants.settle_end import settle_end, settle_ends
from sessions_app.operations.grants.transition import StaleGrant, transition
from sessions_app.operations.sweep.sweep import sweep
from sessions_app.queries.grants.current import overdue
from tests.sessions_app.operations.grants.test_lock_descendants import tree
from tests.support.waits import eventually
from tests.support.world.acts import after, events, intact, last, locked


def intend(world, grant, **changes) -> EndIntent:
    """Bob's click, while somebody had the row."""
    given = {"at": world.now, "by": world.bob, "reason": EndReason.REVOKED, "note": "now", "cut": True}
    return EndIntent.objects.create(grant=grant, **{**given, **changes})


def settled(world, grant, **later) -> Grant:
    assert settle_end(grant_id=grant.pk, now=after(world, **(later or {"seconds": 3})))
    assert not EndIntent.objects.exists()
    grant.refresh_from_db()
    return grant


def test_the_row_and_the_record_have_who_clicked_and_when_and_the_record_when_it_took_effect(world):
    grant = world.grant()
    intent = intend(world, grant)
    ended = settled(world, grant)
    assert (ended.state, ended.revoking_at, ended.next_attempt_at) == ("revoking", world.now, world.now)
    assert (ended.end_reason, ended.end_note, ended.ended_by) == ("revoked", "now", world.bob)
    entry = last("grant.revoking", grant.ref)
    assert (entry.actor, entry.at) == ("bob", world.now)
    assert entry.data == {
        "from": "active",
        "reason": "revoked",
        "note": "now",
        "cut": True,
        "in_effect_at": intent.made_at.isoformat(),
        "settled_at": after(world, seconds=3).isoformat(),
    }
    settled(world, grant)
    assert events(grant.ref).count("grant.revoking") == 1
    assert intact()


def test_it_waits_for_nobody_who_has_the_row(live_world):
    grant = live_world.grant()
    intend(live_world, grant)
    with locked(grant, 60):
        assert not settle_end(grant_id=grant.pk, now=live_world.now)
    assert events(grant.ref)[-1] == "grant.active"
    settled(live_world, grant)


def test_the_next_sweep_does_it_for_a_process_that_was_killed(world):
    grant = world.grant()
    intend(world, grant)
    assert overdue(after(world, seconds=2)) == (1, 2)
    done = sweep(now=lambda: after(world, seconds=2), name="test")
    assert done.revocations
    grant.refresh_from_db()
    assert grant.next_attempt_at == world.now
    assert not EndIntent.objects.exists()


def test_of_two_clicks_the_first_counts(world):
    grant = world.grant()
    intend(world, grant)
    intend(world, grant, at=after(world, seconds=1), by=world.admin)
    assert settled(world, grant).ended_by == world.bob
    assert events(grant.ref).count("grant.revoking") == 1


def test_a_kill_cuts_what_the_click_before_it_lets_finish_at_once_and_in_the_row(world):
    grant = world.grant()
    intend(world, grant, cut=False)
    grant.refresh_from_db()
    assert grant.finish_until == after(world, minutes=5)
    intend(world, grant, at=after(world, seconds=1))
    assert Grant.objects.get(pk=grant.pk).finish_until is None
    assert settled(world, grant).finish_until == after(world, seconds=1)


def test_a_kill_of_what_finishes_counts_before_the_row_is_free(world):
    grant = world.grant()
    intend(world, grant, cut=False)
    settled(world, grant)
    intend(world, grant, at=after(world, seconds=9))
    assert Grant.objects.get(pk=grant.pk).finish_until == after(world, seconds=9)
    settled(world, grant)
    assert last("grant.revoking", grant.ref).at == after(world, seconds=9)


def test_a_click_that_the_clock_overtook_in_the_row_is_in_the_record(world):
    grant = world.grant()
    intend(world, grant)
    sweep(now=lambda: grant.expires_at, name="test")
    grant.refresh_from_db()
    assert grant.end_reason == "expired"
    entry = last("grant.revoking", grant.ref)
    assert (entry.actor, entry.data["from"], entry.data["reason"]) == ("bob", "revoking", "revoked")
    assert not EndIntent.objects.exists()


def test_what_never_started_is_over_and_starts_no_more(world):
    grant = world.grant(start=False)
    before = Grant.objects.get(pk=grant.pk)
    intend(world, grant)
    with pytest.raises(StaleGrant):
        transition(grant=before, to="provisioning", actor=None, now=world.now)
    assert settled(world, grant).state == "ended"


def test_what_was_delegated_meanwhile_ends_with_it(world):
    first, middle, below = tree(world)
    intend(world, first)
    settled(world, first)
    for one, above in ((middle, first), (below, middle)):
        one.refresh_from_db()
        assert (one.end_reason, one.end_note, one.revoking_at) == ("parent_ended", above.ref, world.now)
        assert last("grant.revoking", one.ref).actor == "bob"


def test_a_start_that_is_committed_after_it_gives_nothing(world):
    grant = world.grant()
    Grant.objects.filter(pk=grant.pk).update(activated_at=after(world, seconds=1))
    intend(world, grant)
    assert not Grant.objects.in_use(after(world, seconds=1)).exists()
    assert settled(world, grant).state == "revoking"


def test_a_process_that_keeps_the_row_and_does_nothing_loses_its_connection(
    live_world, stint_db, monkeypatch
):
    monkeypatch.setattr("sessions_app.operations.grants.settle_end.IDLE", dt.timedelta(0))
    grant, other = live_world.grant(), live_world.grant()
    intend(live_world, grant)
    with psycopg.connect(stint_db.env["DATABASE_URL"]) as stopped, locked(other, 60):
        stopped.execute("SELECT FROM sessions_app_grant WHERE id = %s FOR NO KEY UPDATE", [grant.pk])
        assert settle_ends({}, live_world.now) == 0
        with pytest.raises(psycopg.OperationalError):
            stopped.execute("SELECT 1")
        stopped.close()
        eventually(lambda: settle_ends({}, live_world.now) == 1)
