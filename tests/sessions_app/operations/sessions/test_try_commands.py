"""Many lines in one transaction: each is recorded like a line of its own, or left to `try_command`."""

import datetime as dt
import hashlib
from dataclasses import replace

import pytest
from django.db import transaction

from sessions_app.models import CommandRun, EndReason, Grant, GrantCredential, Lease
from sessions_app.operations.grants.end_grant import end_grant
from sessions_app.operations.sessions.close_session import close_session
from sessions_app.operations.sessions.try_commands import Attempt, try_commands
from sessions_app.policy.commands.kinds import decide
from tests.support.world.acts import after, at_once, intact, last, run, session, use

LINE = "echo restart nginx"


@pytest.fixture
def used(world):
    return use(world.grant(), now=world.now)


@pytest.fixture
def opened(world, used):
    """A session whose first line has made the lease."""
    opened = session(used, now=world.now)
    run(used, opened, LINE, now=world.now)
    return opened


def attempt(used, opened, **changes) -> Attempt:
    decision = decide(used.compiled, LINE)
    return Attempt(**{"use": used, "session_id": opened, "line": LINE, "decision": decision, **changes})


def tried(world, *attempts: Attempt, now: dt.datetime | None = None):
    return try_commands(attempts=attempts, now=now or world.now)


def test_each_is_recorded_like_a_line_of_its_own(world, used, opened):
    alone = run(used, opened, LINE, now=world.now)
    entry = last("command.allowed", used.grant_ref)
    (together,) = tried(world, attempt(used, opened))
    assert together == replace(alone, run_id=together.run_id)
    one, two = (CommandRun.objects.filter(pk=made.run_id).values().get() for made in (alone, together))
    assert {**one, "id": 0} == {**two, "id": 0}
    newest = last("command.allowed", used.grant_ref)
    assert newest.seq == entry.seq + 1
    assert {**newest.data, "run": 0} == {**entry.data, "run": 0}
    assert (newest.actor, newest.actor_id, newest.at) == (entry.actor, entry.actor_id, entry.at)
    assert intact()


def test_several_grants_and_holders_share_a_transaction(world, used, opened):
    other = use(world.grant(who=world.robot), now=world.now)
    theirs = session(other, now=world.now)
    run(other, theirs, LINE, now=world.now)
    made = tried(
        world,
        attempt(used, opened, request_id="one"),
        attempt(other, theirs, request_id="two"),
        attempt(used, opened),
    )
    assert [one is not None for one in made] == [True, True, True]
    assert [one.session_id for one in made] == [opened, theirs, opened]
    entry = last("command.allowed", other.grant_ref)
    assert (entry.actor, entry.data["run"], entry.data["request_id"]) == (
        world.robot.username,
        made[1].run_id,
        "two",
    )
    assert intact()


def test_the_first_line_on_a_target_is_left_because_it_makes_the_lease(world, used):
    assert tried(world, attempt(used, session(used, now=world.now))) == [None]


def end(world, used, opened) -> None:
    end_grant(grant_id=used.grant_id, actor=None, reason=EndReason.EXPIRED, now=world.now)


def suspend(world, used, opened) -> None:
    Grant.objects.filter(pk=used.grant_id).update(held_at=world.now)


def close(world, used, opened) -> None:
    close_session(session_id=opened, reason="done", now=world.now)


def gone(world, used, opened) -> None:
    Lease.objects.update(gone_at=world.now)


def moved(world, used, opened) -> None:
    Lease.objects.update(address="192.0.2.99")


@pytest.mark.parametrize("change", [end, suspend, close, gone, moved])
def test_what_may_not_run_is_left_and_keeps_nothing_else_from_running(world, used, opened, change):
    other = use(world.grant(who=world.robot), now=world.now)
    theirs = session(other, now=world.now)
    run(other, theirs, LINE, now=world.now)
    others = CommandRun.objects.filter(grant=used.grant_id).count()
    change(world, used, opened)
    if change in (gone, moved):
        Lease.objects.filter(grant=other.grant_id).update(gone_at=None, address=other.target.address)
    none, some = tried(world, attempt(used, opened), attempt(other, theirs))
    assert none is None
    assert some is not None
    assert CommandRun.objects.filter(grant=used.grant_id).count() == others


def test_an_expired_grant_is_left(world, used, opened):
    assert tried(world, attempt(used, opened), now=used.expires_at) == [None]
    assert tried(world, attempt(used, opened), now=used.expires_at - dt.timedelta(seconds=1)) != [None]


def test_a_command_of_another_grant_is_left(world, used, opened):
    other = use(world.grant(), now=world.now)
    foreign = replace(decide(used.compiled, LINE), index=99)
    assert tried(world, attempt(used, opened, decision=foreign), attempt(other, opened)) == [None, None]


@pytest.mark.parametrize(
    ("changes", "recorded"),
    [
        ({}, True),
        ({"revoked": True}, False),
        ({"expires_in": 0}, False),
        ({"expires_in": 1}, True),
    ],
)
def test_a_token_has_to_be_valid(world, used, opened, changes, recorded):
    revoked, left = changes.get("revoked"), changes.get("expires_in")
    token = GrantCredential.objects.create(
        grant_id=used.grant_id,
        digest=hashlib.sha256(b"token").hexdigest(),
        created_at=world.now,
        revoked_at=world.now if revoked else None,
        expires_at=None if left is None else after(world, seconds=left),
    )
    with_token = replace(used, credential_id=token.pk)
    assert (tried(world, attempt(with_token, opened)) != [None]) is recorded


def test_what_has_to_wait_for_approval_is_left(world, used, opened):
    held = replace(decide(used.compiled, LINE), hold=True)
    assert tried(world, attempt(used, opened, decision=held)) == [None]


def test_a_locked_grant_is_left_without_waiting(live_world):
    used, other = (use(live_world.grant(who=who), now=live_world.now) for who in (None, live_world.robot))
    opened, theirs = (session(one, now=live_world.now) for one in (used, other))
    for one, place in ((used, opened), (other, theirs)):
        run(one, place, LINE, now=live_world.now)
    with transaction.atomic():
        Grant.objects.select_for_update(no_key=True).get(pk=used.grant_id)
        (made,) = at_once(lambda: tried(live_world, attempt(used, opened), attempt(other, theirs)))
    assert [one is None for one in made] == [True, False]
