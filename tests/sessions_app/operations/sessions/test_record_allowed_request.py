"""A request that changes something, written down before it is answered."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace

import pytest
from django.db import DatabaseError

from sessions_app.models import CommandRun, RequestCount
from sessions_app.operations.sessions.record_allowed_request import record_allowed_request
from sessions_app.policy.commands.kinds import decide
from tests.support.acts import intact, last
from tests.support.api_site import used


@pytest.fixture
def use(world):
    return used(world)


def recorded(use, world, line="POST /tickets/T-42/reopen") -> int:
    decision = decide(use.compiled, line)
    return record_allowed_request(use=use, session_id=use.session_id, decision=decision, now=world.now)


def test_it_is_a_run_of_its_session_that_is_done(use, world):
    run = CommandRun.objects.get(pk=recorded(use, world))
    assert (run.grant_id, run.session_id, run.target_id) == (
        use.grant_id,
        use.session_id,
        use.target.id,
    )
    assert (run.line, run.argv, run.state, run.effect, run.command_index) == (
        "POST /tickets/T-42/reopen",
        ["POST", "/tickets/T-42/reopen"],
        "done",
        "change",
        2,
    )
    assert {run.tried_at, run.started_at, run.ended_at} == {world.now}
    count = RequestCount.objects.get(run=run)
    assert (count.times, count.last_at) == (1, world.now)


def test_each_is_its_holders_own_entry(use, world):
    first, second = recorded(use, world), recorded(use, world)
    entry = last("command.allowed", use.grant_ref)
    assert entry.actor == "alice"
    assert entry.data == {
        "run": second, "session": use.session_id, "target": "tickets-api",
        "argv": ["POST", "/tickets/T-42/reopen"], "index": 2, "times": 1,
    }  # fmt: skip
    assert first != second
    assert intact()


def test_a_body_of_any_size_is_recorded_by_its_digest_when_it_is_long(use, world):
    body = json.dumps({"note": "é" * 100_000}, ensure_ascii=False)
    decision = replace(
        decide(use.compiled, "POST /tickets/T-42/reopen"), argv=("POST", "/tickets/T-42/reopen", body)
    )
    pk = record_allowed_request(use=use, session_id=use.session_id, decision=decision, now=world.now)
    kept = last("command.allowed", use.grant_ref).data["argv"][2]
    assert kept == CommandRun.objects.get(pk=pk).argv[2]
    assert kept.startswith('{"note": "é')
    assert f"[{len(body.encode())} bytes, sha256:{hashlib.sha256(body.encode()).hexdigest()}]" in kept


def test_nothing_of_it_stays_where_the_record_refuses(live_world, owner_connection):
    use = used(live_world)
    owner_connection.execute("REVOKE EXECUTE ON FUNCTION audit_append FROM stint_app")
    with pytest.raises(DatabaseError):
        recorded(use, live_world)
    assert not CommandRun.objects.exists()
    assert not RequestCount.objects.exists()
