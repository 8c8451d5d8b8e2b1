"""Requests that were allowed and only read, written down together."""

from __future__ import annotations

import datetime as dt

import pytest

from sessions_app.models import CommandRun
from sessions_app.operations.sessions.record_allowed_requests import AllowedRequests, record_allowed_requests
from sessions_app.policy.commands.kinds import decide
from tests.support.acts import intact, last
from tests.support.api_site import used


@pytest.fixture
def use(world):
    return used(world)


def some(use, world, line, times):
    return AllowedRequests(
        use=use, session_id=use.session_id, decision=decide(use.compiled, line), times=times,
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
    entry = last("command.allowed", use.grant_ref)
    assert entry.actor == "alice"
    assert entry.data["holder"] == "alice"
    assert intact()
