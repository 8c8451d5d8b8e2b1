"""Requests that were allowed, written down alone or together, and those that were refused."""

from __future__ import annotations

import datetime as dt
import hashlib

import pytest

from sessions_app.models import CommandRun, RequestCount
from sessions_app.operations.authorize_request import authorize_request
from sessions_app.operations.open_request_session import open_request_session
from sessions_app.operations.record_allowed_request import record_allowed_request
from sessions_app.operations.record_allowed_requests import AllowedRequests, record_allowed_requests
from sessions_app.operations.record_refused_request import record_dead_token, record_refused_request
from sessions_app.policy.commands.kinds import decide
from tests.support.acts import intact, last
from tests.support.api_site import PROXY_KEY, add_site, grant_on_site, token_of


@pytest.fixture
def use(world):
    add_site(world)
    token = token_of(grant_on_site(world), world)
    found = authorize_request(
        token_digest=hashlib.sha256(token.encode()).hexdigest(), target_name="tickets-api",
        proxy_digest=hashlib.sha256(PROXY_KEY.encode()).digest(),
    )  # fmt: skip
    found.session_id = open_request_session(use=found, client_address="", now=world.now)
    return found


def some(use, world, line, times):
    return AllowedRequests(
        facts=use.facts, session_id=use.session_id, decision=decide(use.facts.compiled, line), times=times,
        first_at=world.now, last_at=world.now + dt.timedelta(milliseconds=900),
    )  # fmt: skip


def test_many_are_written_down_in_one_call_each_with_its_count(use, world):
    lines = {"GET /tickets/T-42": 7, "GET /tickets/T-42/comments?page=2": 1, "GET /people/%C3%A9": 2}
    record_allowed_requests(
        requests=[some(use, world, line, times) for line, times in lines.items()], now=world.now
    )
    assert {run.line: run.count.times for run in CommandRun.objects.all()} == lines
    run = CommandRun.objects.get(line="GET /tickets/T-42")
    assert (run.state, run.effect, run.command_index, run.argv) == (
        "done",
        "read",
        0,
        ["GET", "/tickets/T-42"],
    )
    assert (run.tried_at, run.ended_at) == (world.now, world.now + dt.timedelta(milliseconds=900))
    entry = last("command.allowed", use.facts.grant_ref)
    assert entry.actor == "alice"
    assert entry.data["holder"] == "alice"
    assert intact()


def test_one_that_changes_something_is_its_holders_own_entry(use, world):
    decision = decide(use.facts.compiled, "POST /tickets/T-42/reopen")
    pk = record_allowed_request(facts=use.facts, session_id=use.session_id, decision=decision, now=world.now)
    entry = last("command.allowed", use.facts.grant_ref)
    assert (entry.actor, entry.data["run"], entry.data["times"]) == ("alice", pk, 1)
    assert RequestCount.objects.get(run=pk).times == 1


def test_a_refused_one_is_kept_as_it_came_whatever_it_holds(use, world):
    for line in ("GET /\0", "GET /\udcff", "GET /" + "x" * 20_000, "GET /\u202e"):
        pk = record_refused_request(
            facts=use.facts, session_id=use.session_id, line=line, reason="no", code="syntax", now=world.now
        )
        assert len(CommandRun.objects.get(pk=pk).line) <= 8010
    assert last("command.refused", use.facts.grant_ref).data["code"] == "syntax"
    assert intact()


def test_a_token_that_never_was_is_nobodys(use, world):
    assert record_dead_token(token_digest="0" * 64, target_name="x", line="GET /", now=world.now) is None
