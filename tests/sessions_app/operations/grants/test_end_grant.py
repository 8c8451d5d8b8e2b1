"""The one way that an end begins."""

import datetime as dt

import psycopg
import pytest
from django.db import connection, transaction

from broker.audit.backlog import catch_up
from broker.kernel.errors import NotFound
from sessions_app.models import CommandRun, EndReason, Grant, GrantState, Session
from sessions_app.operations.grants.end_grant import end_grant
from sessions_app.operations.grants.settle_end import settle_end
from sessions_app.operations.sessions.authorize_use import authorize_use
from sessions_app.operations.sessions.proofs.holder import ByHolder
from sessions_app.queries.grants.current import grants_now, why_ended
from tests.sessions_app.operations.grants.test_lock_descendants import tree
from tests.support.waits import PATIENCE
from tests.support.world.acts import Started, after, at_once, events, intact, last, session, use


def end(world, grant: Grant, actor=None, *, now=None, **more) -> Grant:
    more.setdefault("reason", EndReason.REVOKED)
    return end_grant(grant_id=grant.pk, actor=actor, now=now or world.now, **more)


def test_the_entry_points_close_at_once_and_the_record_says_who_and_why(world):
    grant = end(world, world.grant(), world.bob, note=" wrong host ")
    assert (grant.state, grant.end_reason, grant.ended_by) == (GrantState.REVOKING, "revoked", world.bob)
    assert (grant.revoking_at, grant.next_attempt_at, grant.ended_at) == (world.now, world.now, None)
    assert authorize_use(by=ByHolder(world.alice.pk, "web-1", None, world.now)) == []
    entry = last("grant.revoking", grant.ref)
    assert entry.actor == "bob"
    assert entry.data == {"from": "active", "reason": "revoked", "note": "wrong host", "cut": True}


def test_what_never_started_has_nothing_to_undo(world):
    grant = end(world, world.grant(start=False), world.bob)
    assert (grant.state, grant.ended_at) == (GrantState.ENDED, world.now)
    assert events(grant.ref) == ["grant.scheduled", "grant.ended"]


@pytest.mark.parametrize("start", [True, False])
def test_an_end_that_comes_again_changes_neither_reason_nor_time(world, start):
    grant = end(world, world.grant(start=start), world.bob)
    before = events(grant.ref)
    again = end(world, grant, world.alice, reason=EndReason.RELEASED, now=after(world, seconds=5))
    assert (again.end_reason, again.version, again.ended_by) == ("revoked", grant.version, world.bob)
    assert again.revoking_at == grant.revoking_at
    assert events(grant.ref) == before


def test_they_never_finish_later_than_that_after_the_deadline_even_when_the_end_comes_late(world):
    grant = world.grant()
    late = end(world, grant, None, reason=EndReason.EXPIRED, cut=False, now=after(world, hours=1, minutes=2))
    assert late.finish_until == after(world, hours=1, minutes=5)


def test_a_cut_overrules_a_finish_and_is_recorded_with_who_did_it(world):
    grant = end(world, world.grant(), world.alice, reason=EndReason.RELEASED, cut=False)
    cut = end(world, grant, world.bob, now=after(world, seconds=10))
    assert cut.finish_until == after(world, seconds=10)
    assert cut.next_attempt_at == after(world, seconds=10)
    assert (cut.state, cut.end_reason) == (GrantState.REVOKING, "released")
    entry = last("grant.revoking", grant.ref)
    assert (entry.actor, entry.data["cut"]) == ("bob", True)


def test_a_finish_never_softens_a_cut(world):
    grant = end(world, world.grant(), world.bob)
    again = end(world, grant, world.alice, cut=False)
    assert again.finish_until is None


# Longer than any machine takes, so that none of them ends it by an intent.
PATIENT = dt.timedelta(seconds=PATIENCE)


def test_ended_by_many_at_once_it_ends_once(live_world):
    grant = live_world.grant()
    results = at_once(
        *[
            lambda who=who, reason=reason: end(live_world, grant, who, reason=reason, patience=PATIENT)
            for who, reason in (
                (live_world.alice, EndReason.RELEASED),
                (live_world.bob, EndReason.REVOKED),
                (None, EndReason.EXPIRED),
                (live_world.admin, EndReason.REVOKED),
            )
        ]
    )
    assert {(result.state, result.end_reason) for result in results} == {("revoking", results[0].end_reason)}
    assert events(grant.ref).count("grant.revoking") == 1
    assert intact()


def test_a_click_takes_effect_while_a_process_that_was_stopped_has_the_row(
    live_world, owner_connection, stint_db
):
    grant = live_world.grant()
    with psycopg.connect(stint_db.env["DATABASE_OWNER_URL"], autocommit=True) as hears:
        hears.execute("LISTEN stint_grant")
        with owner_connection.transaction():
            owner_connection.execute("SELECT FROM sessions_app_grant FOR UPDATE")
            ending = end(live_world, grant, live_world.bob, note="now")
            (heard,) = hears.notifies(timeout=PATIENCE, stop_after=1)
            assert heard.payload == str(grant.pk)
            assert (ending.state, ending.end_reason, ending.ended_by) == (
                "revoking",
                "revoked",
                live_world.bob,
            )
            assert ending.revoking_at == live_world.now
            assert authorize_use(by=ByHolder(live_world.alice.pk, "web-1", None, live_world.now)) == []
            assert why_ended(grants_now([grant.pk], live_world.now)[grant.pk]) == "revoked"
    assert settle_end(grant_id=grant.pk, now=live_world.now)
    assert events(grant.ref)[-1] == "grant.revoking"


def test_so_do_the_ends_of_all_below_it_and_of_what_can_be_locked_at_once(live_world, owner_connection):
    first, middle, last_one = tree(live_world)
    with owner_connection.transaction():
        owner_connection.execute("SELECT FROM sessions_app_grant WHERE id = %s FOR UPDATE", [middle.pk])
        end(live_world, first, live_world.bob)
        assert ["grant.revoking" in events(one.ref) for one in (first, middle)] == [True, False]
        assert not any(
            one.live
            for one in grants_now(Grant.objects.values_list("pk", flat=True), live_world.now).values()
        )
    assert settle_end(grant_id=middle.pk, now=live_world.now)
    for one in (middle, last_one):
        assert last("grant.revoking", one.ref).data["reason"] == "parent_ended"
        assert last("grant.revoking", one.ref).actor == "bob"


def test_an_end_does_not_hold_up_who_has_the_record_and_refers_to_the_grant(live_world):
    grant = live_world.grant()
    opened = Session.objects.get(pk=session(use(grant, now=live_world.now), now=live_world.now))
    with transaction.atomic():
        connection.cursor().execute(
            "SELECT audit_append_many('main', now(), 'command.allowed', 'system:gateway', NULL, 'grant',"
            " ARRAY[%s], ARRAY['{}'::jsonb])",
            [grant.ref],
        )
        CommandRun.objects.create(
            grant=grant, session=opened, target=opened.target, line="uptime", state="done"
        )
        # It has the grant, and can't have the record. The row above locks the grant's key when it is
        # committed.
        assert Started(lambda: end(live_world, grant)).result().state == GrantState.REVOKING
    assert catch_up(live_world.now) == 1
    assert last("grant.revoking", grant.ref).data["reason"] == "revoked"


def test_a_grant_that_is_not_there_is_said_to_be_so(world):
    with pytest.raises(NotFound):
        end_grant(grant_id=0, actor=None, reason=EndReason.EXPIRED, now=world.now)
