"""A use is over."""

from django.db import transaction

from broker.audit.models import AuditEntry
from sessions_app.models import CommandRun, EndReason, RunState, Session
from sessions_app.operations.grants.end_grant import end_grant
from sessions_app.operations.sessions.close_session import close_session
from sessions_app.operations.sessions.record_allowed_requests import AllowedRequests, record_allowed_requests
from sessions_app.policy.commands.kinds import decide
from tests.support.world import api_site
from tests.support.world.acts import (
    Started,
    after,
    at_once,
    enter,
    events,
    fresh,
    last,
    let_ends_wait,
    run,
    session,
    use,
    wait_for_waiters,
)


def test_a_closed_session_takes_its_commands_with_it_and_each_is_recorded(world):
    grant = world.grant()
    used, opened = enter(grant, now=world.now)
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
    return [entry.data for entry in AuditEntry.objects.filter(event="command.finished", object_ref=ref)]


def test_the_last_session_of_an_ending_grant_hurries_its_end(world):
    grant = world.grant()
    used = use(grant, now=world.now)
    first, second = session(used, now=world.now), session(used, now=world.now)
    end_grant(grant_id=grant.pk, actor=None, reason=EndReason.REVOKED, now=world.now)
    type(grant).objects.filter(pk=grant.pk).update(next_attempt_at=after(world, seconds=30))
    close_session(session_id=first, reason="cut", now=after(world, seconds=1))
    assert fresh(grant).next_attempt_at == after(world, seconds=30)
    close_session(session_id=second, reason="cut", now=after(world, seconds=2))
    assert fresh(grant).next_attempt_at == after(world, seconds=2)


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
    assert results == [False] * 3
    assert events(grant.ref).count("session.closed") == 1


def test_a_session_that_is_closed_while_its_requests_are_recorded_is_closed_after_them(
    live_world, owner_connection
):
    asked = api_site.used(live_world)
    let_ends_wait(owner_connection)
    # As Stint's own gateway holds it.
    Session.objects.update(closed_at=None, close_reason="")
    request = AllowedRequests(
        use=asked,
        session_id=asked.session_id,
        decision=decide(asked.compiled, "GET /tickets/T-42"),
        times=1,
        first_at=live_world.now,
        last_at=live_world.now,
    )
    with transaction.atomic():
        record_allowed_requests(requests=[request], answered=True, now=live_world.now)
        closing = Started(
            lambda: close_session(session_id=asked.session_id, reason="left", now=live_world.now)
        )
        # It waits for the record, where the request is already. The request refers to the session when it is
        # committed.
        wait_for_waiters(owner_connection, 1)
    assert closing.result() is False
    assert (CommandRun.objects.get().state, Session.objects.get().close_reason) == ("done", "left")
    # Neither waited for the other, so nothing was kept aside.
    assert last("session.closed").data["reason"] == "left"
