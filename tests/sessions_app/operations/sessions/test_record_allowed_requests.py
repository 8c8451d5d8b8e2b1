"""Requests that were allowed, written down before they are answered, or together with what repeats them."""

import datetime as dt
import hashlib
import json
from dataclasses import replace

import pytest
from django.db import DatabaseError

from sessions_app.models import CommandRun, Grant, GrantCredential, RequestCount
from sessions_app.operations.sessions.open_request_session import open_request_session
from sessions_app.operations.sessions.record_allowed_requests import AllowedRequests, record_allowed_requests
from sessions_app.policy.commands.kinds import decide
from tests.support.world.acts import intact, last
from tests.support.world.api_site import grant_on_site, token_of, use_of, used

REOPEN = "POST /tickets/T-42/reopen"


@pytest.fixture
def use(world):
    return used(world)


def some(use, world, line, times=1, **changes):
    return AllowedRequests(
        **{
            "use": use,
            "session_id": use.session_id,
            "decision": decide(use.compiled, line),
            "times": times,
            "first_at": world.now,
            "last_at": world.now + dt.timedelta(milliseconds=900),
            **changes,
        }
    )


def recorded(world, *requests, answered=False) -> list[bool]:
    return record_allowed_requests(requests=requests, answered=answered, now=world.now)


def test_many_are_written_down_in_one_call_each_with_its_count(use, world):
    lines = {"GET /tickets/T-42": 7, "GET /tickets/T-42/comments?page=2": 1, "GET /people/%C3%A9": 2}
    requests = [some(use, world, line, times) for line, times in lines.items()]
    assert recorded(world, *requests, answered=True) == [True] * 3
    assert {run.line: run.count.times for run in CommandRun.objects.all()} == lines
    run = CommandRun.objects.get(line="GET /tickets/T-42")
    assert (run.state, run.effect, run.command_index, run.argv) == (
        "done",
        "read",
        0,
        ["GET", "/tickets/T-42"],
    )
    assert (run.tried_at, run.ended_at) == (world.now, world.now + dt.timedelta(milliseconds=900))
    assert intact()


def test_each_is_its_holders_own_entry(use, world):
    theirs = grant_on_site(world, who=world.robot, ticket="T-7")
    another = use_of(token_of(theirs, world, actor=world.robot))
    another = replace(another, session_id=open_request_session(use=another, client_address="", now=world.now))
    requests = (some(use, world, REOPEN), some(another, world, "GET /tickets/T-7"), some(use, world, REOPEN))
    assert recorded(world, *requests) == [True] * 3
    for one, holder in ((use, world.alice), (another, world.robot)):
        run = CommandRun.objects.filter(grant=one.grant_id).latest("pk")
        entry = last("command.allowed", one.grant_ref)
        assert (entry.actor, entry.actor_id) == (holder.username, holder.pk)
        moments = {"first_at": entry.data["first_at"], "last_at": entry.data["last_at"]}
        assert entry.data == {
            "run": run.pk,
            "session": one.session_id,
            "target": "tickets-api",
            "argv": run.argv,
            "index": run.command_index,
            "times": 1,
            **moments,
        }
    assert intact()


def test_a_body_of_any_size_is_recorded_by_its_digest_when_it_is_long(use, world):
    body = json.dumps({"note": "é" * 100_000}, ensure_ascii=False)
    decision = replace(decide(use.compiled, REOPEN), argv=("POST", "/tickets/T-42/reopen", body))
    assert recorded(world, some(use, world, REOPEN, decision=decision)) == [True]
    kept = last("command.allowed", use.grant_ref).data["argv"][2]
    assert kept == CommandRun.objects.get().argv[2]
    assert kept.startswith('{"note": "é')
    assert f"[{len(body.encode())} bytes, sha256:{hashlib.sha256(body.encode()).hexdigest()}]" in kept


def test_nothing_of_it_stays_where_the_record_refuses(live_world, owner_connection):
    use = used(live_world)
    owner_connection.execute("REVOKE EXECUTE ON FUNCTION audit_append_many FROM stint_app")
    with pytest.raises(DatabaseError):
        recorded(live_world, some(use, live_world, REOPEN))
    assert not CommandRun.objects.exists()
    assert not RequestCount.objects.exists()


OVER = {
    "revoked": lambda now: GrantCredential.objects.update(revoked_at=now),
    "expired": lambda now: GrantCredential.objects.update(expires_at=now),
    "held": lambda now: Grant.objects.update(held_at=now),
    "silent": lambda now: Grant.objects.update(heartbeat_due_at=now),
}


@pytest.mark.parametrize("over", OVER.values(), ids=OVER)
def test_what_is_not_answered_yet_is_recorded_only_while_its_token_is_valid(use, world, over):
    over(world.now)
    assert recorded(world, some(use, world, REOPEN)) == [False]
    assert not CommandRun.objects.exists()


def test_what_was_answered_is_recorded_whatever_has_ended_since(use, world):
    GrantCredential.objects.update(revoked_at=world.now)
    assert recorded(world, some(use, world, "GET /tickets/T-42", 7), answered=True) == [True]
    assert CommandRun.objects.get().count.times == 7
