"""A use is over."""

from __future__ import annotations

from sessions_app.models import CommandRun, EndReason, RunState, Session
from sessions_app.operations.grants.end_grant import end_grant
from sessions_app.operations.sessions.close_session import close_session
from tests.support.acts import after, at_once, events, last, run, session, use


def test_a_closed_session_takes_its_commands_with_it_and_each_is_recorded(world):
    grant = world.grant()
    used = use(grant, now=world.now)
    opened = session(used, now=world.now)
    running = run(used, opened, "sleep 60", now=world.now)
    held = run(used, opened, "echo stop nginx", now=world.now)
    close_session(session_id=opened, reason="client left", now=after(world, seconds=3))
    closed = Session.objects.get(pk=opened)
    assert (closed.closed_at, closed.close_reason) == (after(world, seconds=3), "client left")
    for tried in (running, held):
        row = CommandRun.objects.get(pk=tried.run_id)
        assert (row.state, row.ended_at, row.reason) == (RunState.CUT, after(world, seconds=3), "client left")
    finished = [entry["run"] for entry in _finished(grant.ref)]
    assert sorted(finished) == sorted([running.run_id, held.run_id])
    assert last("session.closed", grant.ref).data["reason"] == "client left"


def _finished(ref: str):
    from broker.audit.models import AuditEntry

    return [entry.data for entry in AuditEntry.objects.filter(event="command.finished", object_ref=ref)]


def test_the_last_session_of_an_ending_grant_hurries_its_end(world):
    grant = world.grant()
    used = use(grant, now=world.now)
    first, second = session(used, now=world.now), session(used, now=world.now)
    end_grant(grant_id=grant.pk, actor=None, reason=EndReason.REVOKED, now=world.now)
    type(grant).objects.filter(pk=grant.pk).update(next_attempt_at=after(world, seconds=30))
    close_session(session_id=first, reason="cut", now=after(world, seconds=1))
    grant.refresh_from_db()
    assert grant.next_attempt_at == after(world, seconds=30)
    close_session(session_id=second, reason="cut", now=after(world, seconds=2))
    grant.refresh_from_db()
    assert grant.next_attempt_at == after(world, seconds=2)


def test_the_end_of_a_session_ends_no_grant(world):
    grant = world.grant()
    opened = session(use(grant, now=world.now), now=world.now)
    close_session(session_id=opened, reason="client left", now=world.now)
    grant.refresh_from_db()
    assert grant.state == "active"


def test_closed_twice_or_never_open_it_changes_nothing(world):
    grant = world.grant()
    opened = session(use(grant, now=world.now), now=world.now)
    close_session(session_id=opened, reason="first", now=world.now)
    before = events()
    close_session(session_id=opened, reason="second", now=after(world, seconds=1))
    close_session(session_id=0, reason="unknown", now=world.now)
    assert Session.objects.get(pk=opened).close_reason == "first"
    assert events() == before


def test_closed_by_two_at_once_it_is_recorded_once(live_world):
    grant = live_world.grant()
    opened = session(use(grant, now=live_world.now), now=live_world.now)
    results = at_once(*[lambda: close_session(session_id=opened, reason="x", now=live_world.now)] * 3)
    assert results == [None] * 3
    assert events(grant.ref).count("session.closed") == 1
