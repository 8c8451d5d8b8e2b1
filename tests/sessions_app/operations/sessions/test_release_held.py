"""A held command starts, once, when a second person has allowed it."""

import pytest
from django.db import transaction

from accounts.models import SSHPublicKey
from sessions_app.models import CommandRun, EndReason, Lease, RunState, Session
from sessions_app.operations.grants.end_grant import end_grant
from sessions_app.operations.grants.errors import GrantIsOver
from sessions_app.operations.sessions.close_session import close_session
from sessions_app.operations.sessions.decide_hold import decide_hold
from sessions_app.operations.sessions.open_session import SessionIsOver
from sessions_app.operations.sessions.release_held import StillHeld, release_held
from tests.support.world.acts import (
    Started,
    after,
    at_once,
    enter,
    events,
    run,
    session,
    use,
    wait_for_waiters,
)


@pytest.fixture
def used(world):
    return use(world.grant(), now=world.now)


@pytest.fixture
def held(world, used):
    return run(used, session(used, now=world.now), "echo stop nginx", now=world.now)


def allow(world, held, *, yes=True):
    return decide_hold(run_id=held.run_id, actor=world.bob, allow=yes, now=world.now)


def release(world, used, held, *, now=None):
    return release_held(
        use=used, run_id=held.run_id, line=held.line, decision=held.decision, now=now or world.now
    )


def test_an_allowed_command_runs_once_with_the_deadline_of_the_grant(world, used, held):
    allow(world, held)
    released = release(world, used, held)
    assert (released.verdict, released.deadline) == ("allowed", used.expires_at)
    assert released.decision.argv == ("echo", "stop", "nginx")
    assert CommandRun.objects.get(pk=held.run_id).state == RunState.RUNNING
    assert Lease.objects.exists()
    assert events(used.grant_ref)[-1] == "command.allowed"
    with pytest.raises(StillHeld):
        release(world, used, held)


def over(world, used, held) -> None:
    end_grant(grant_id=used.grant_id, actor=None, reason=EndReason.REVOKED, now=world.now)


def closed(world, used, held) -> None:
    close_session(session_id=CommandRun.objects.get(pk=held.run_id).session_id, reason="left", now=world.now)


def without_its_key(world, used, held) -> None:
    SSHPublicKey.objects.create(
        identity=world.alice, algorithm="x", public_key="x", fingerprint="SHA256:gone", removed_at=world.now
    )
    Session.objects.update(proof="SHA256:gone")


@pytest.mark.parametrize(
    ("change", "error"),
    [
        (over, GrantIsOver),
        (closed, StillHeld),
        (without_its_key, SessionIsOver),
        (lambda *_: Session.objects.update(closed_at="2026-01-01T00:00Z"), SessionIsOver),
        (lambda *_: CommandRun.objects.update(line="echo restart nginx"), StillHeld),
    ],
    ids=["grant over", "session closed", "key removed", "session closed by a hand", "another line"],
)
def test_an_allowance_is_worth_nothing_after(world, used, held, change, error):
    allow(world, held)
    change(world, used, held)
    with pytest.raises(error):
        release(world, used, held)
    assert not Lease.objects.exists()


def test_what_nobody_allowed_somebody_denied_or_came_too_late_does_not_run(world, used, held):
    with pytest.raises(StillHeld):
        release(world, used, held)
    allow(world, held)
    with pytest.raises(StillHeld):
        release(world, used, held, now=after(world, minutes=5))
    with pytest.raises(StillHeld):
        release(world, use(world.grant(), now=world.now), held)
    denied = run(used, session(used, now=world.now), "echo stop nginx", now=after(world, minutes=6))
    allow(world, denied, yes=False)
    with pytest.raises(StillHeld):
        release(world, used, denied)


def test_released_by_two_at_once_it_runs_once(live_world):
    used = use(live_world.grant(), now=live_world.now)
    held = run(used, session(used, now=live_world.now), "echo stop nginx", now=live_world.now)
    allow(live_world, held)
    results = at_once(*[lambda: release(live_world, used, held)] * 3)
    assert sum(isinstance(result, StillHeld) for result in results) == 2


def test_released_while_its_session_is_closed_it_waits_for_that_and_does_not_run(
    live_world, owner_connection
):
    used, opened = enter(live_world.grant(), now=live_world.now)
    held = run(used, opened, "echo stop nginx", now=live_world.now)
    allow(live_world, held)
    with transaction.atomic():
        Session.objects.select_for_update(no_key=True).get()
        releasing = Started(lambda: release(live_world, used, held))
        wait_for_waiters(owner_connection, 1)
        close_session(session_id=opened, reason="left", now=live_world.now)
    assert isinstance(releasing.result(), SessionIsOver)
    assert CommandRun.objects.get().state == RunState.CUT
