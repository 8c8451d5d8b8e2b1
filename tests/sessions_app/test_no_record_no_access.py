"""The record refuses: nothing new is allowed, and what was allowed ends all the same."""

from __future__ import annotations

import datetime as dt

import pytest
from django.db import DatabaseError, connection

from broker.audit.models import AuditBacklog, AuditEntry
from sessions_app.models import AccessRequest, Approval, CommandRun, Grant, GrantState, Lease, Session
from sessions_app.operations.authorize_use import authorize_use
from sessions_app.operations.close_session import close_session
from sessions_app.operations.disable_identity import disable_identity
from sessions_app.operations.provision_grant import provision_grant
from sessions_app.operations.stop_grant import stop_grant
from sessions_app.operations.sweep import sweep
from tests.support.acts import after, events, intact, last, run, session, undo, use


@pytest.fixture
def record_refuses(live_world, owner_connection):
    """A switch: call it with True to let the record refuse, with False to let it work again."""

    def switch(refuses: bool) -> None:
        verb, to = ("REVOKE", "FROM") if refuses else ("GRANT", "TO")
        for name in ("audit_append", "audit_append_many"):
            owner_connection.execute(f"{verb} EXECUTE ON FUNCTION {name} {to} stint_app")

    return switch


def counts() -> list[int]:
    return [
        model.objects.count()
        for model in (AccessRequest, Approval, Grant, Session, CommandRun, Lease, AuditEntry)
    ]


def test_nothing_new_is_asked_approved_started_opened_or_run(live_world, record_refuses):
    world = live_world
    pending, waiting, active = world.request(), world.grant(start=False), world.grant()
    used = use(active, now=world.now)
    opened = session(used, now=world.now)
    before = counts()
    record_refuses(True)
    for act in (
        world.request,
        lambda: world.request(kind="break_glass"),
        lambda: world.decide(pending),
        lambda: provision_grant(grant_id=waiting.pk, now=world.now),
        lambda: session(used, now=world.now),
        lambda: run(used, opened, now=world.now),
        lambda: run(used, opened, "id", now=world.now),
        lambda: run(used, opened, "echo stop nginx", now=world.now),
    ):
        with pytest.raises(DatabaseError):
            act()
    assert counts() == before
    pending.refresh_from_db()
    waiting.refresh_from_db()
    assert (pending.state, waiting.state) == ("pending", GrantState.SCHEDULED)


def test_expiry_goes_on_and_is_recorded_when_the_record_is_back(live_world, record_refuses, fake_targets):
    world = live_world
    grant = world.grant(duration=600)
    record_refuses(True)
    late = after(world, seconds=600)
    assert authorize_use(holder_id=world.alice.pk, target_name="web-1", grant_ref=None, now=late) == []
    report = sweep(now=lambda: late, name="test")
    assert report.ended == 1
    assert undo(grant, now=late + dt.timedelta(seconds=1)).state == GrantState.ENDED
    assert "grant.revoking" not in events(grant.ref)
    record_refuses(False)
    sweep(now=lambda: late + dt.timedelta(seconds=60), name="test")
    assert events(grant.ref)[-2:] == ["grant.revoking", "grant.ended"]
    entry = last("grant.revoking", grant.ref)
    assert entry.at == late
    assert entry.data["recorded_at"] == (late + dt.timedelta(seconds=60)).isoformat()
    assert not AuditBacklog.objects.exists()
    assert intact()


def test_a_revoke_a_disable_and_a_taken_key_go_on_and_are_recorded_when_the_record_is_back(
    live_world, record_refuses, fake_targets
):
    world = live_world
    one, two = world.grant(), world.grant()
    used = use(one, now=world.now)
    opened = session(used, now=world.now)
    run(used, opened, now=world.now)
    fake_targets.left["root@127.0.0.1:2201", one.token] = 1
    record_refuses(True)
    stop_grant(grant_id=one.pk, actor=world.bob, now=world.now, kill=True)
    close_session(session_id=opened, reason="it was revoked", now=world.now)
    assert undo(one, now=after(world, seconds=1)).state == GrantState.ENDED
    assert fake_targets.left == {}
    disable_identity(identity_id=world.alice.pk, actor=world.admin, now=world.now)
    two.refresh_from_db()
    assert two.state == GrantState.REVOKING
    # Still refused: nothing is lost, and nothing is appended out of turn.
    assert "record" in sweep(now=lambda: world.now, name="test").failed
    record_refuses(False)
    sweep(now=lambda: after(world, seconds=9), name="test")
    assert events(one.ref)[-5:] == [
        "grant.revoking", "command.finished", "session.closed", "lease.gone", "grant.ended"
    ]  # fmt: skip
    assert last("grant.revoking", one.ref).actor == "bob"
    assert last("identity.disabled", "alice").actor == "admin"
    assert intact()


def test_a_broken_connection_in_the_middle_of_an_act_leaves_neither_act_nor_entry(
    live_world, owner_connection
):
    world = live_world
    request = world.request()
    before = counts()
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        (pid,) = cursor.fetchone()
    from tests.support.acts import Started, wait_for_waiters

    with owner_connection.transaction():
        owner_connection.execute("SELECT FROM audit_head FOR UPDATE")
        decided = Started(lambda: world.decide(request))
        wait_for_waiters(owner_connection, 1)
        row = owner_connection.execute(
            "SELECT pid FROM pg_locks WHERE NOT granted AND pid <> %s", [pid]
        ).fetchone()
        connection.cursor().execute("SELECT pg_terminate_backend(%s)", [row[0]])
    assert isinstance(decided.result(), DatabaseError)
    assert counts() == before
    request.refresh_from_db()
    assert request.state == "pending"
