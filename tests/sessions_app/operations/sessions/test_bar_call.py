"""A call that can't be made is written down, and held against nobody."""

import pytest

from broker.kernel.crypto import token_digest
from sessions_app.models import CommandRun, EndReason
from sessions_app.operations.grants.end_grant import end_grant
from sessions_app.operations.grants.errors import GrantIsOver
from sessions_app.operations.sessions.authorize_use import authorize_use, only
from sessions_app.operations.sessions.bar_call import bar_call
from sessions_app.operations.sessions.open_session import TokenIsOver
from sessions_app.operations.sessions.proofs.token import ByToken
from tests.support.world.acts import last, session
from tests.support.world.mcp_site import add_desk, grant_unseen, token_of


@pytest.fixture
def grant(world):
    add_desk(world, 9000)
    return grant_unseen(world)


@pytest.fixture
def use(grant, world):
    return only(authorize_use(by=ByToken(token_digest(token_of(grant, world)), "desk")))


def bar(use, world, session_id):
    line = 'read_ticket {"id":"T-42"}'
    return bar_call(use=use, session_id=session_id, line=line, reason="the tool has changed", now=world.now)


def test_it_is_recorded_with_its_reason_and_counts_as_no_deviation(use, world, grant):
    run = CommandRun.objects.get(pk=bar(use, world, session(use, now=world.now)))
    assert (run.state, run.reason) == ("failed", "the tool has changed")
    entry = last("command.refused", grant.ref)
    assert (entry.data["run"], entry.data["code"], entry.data["why"]) == (
        run.pk,
        "barred",
        "the tool has changed",
    )
    assert not grant.runs.filter(state="refused").exists()


def test_it_is_no_attempt_of_a_token_that_is_over(use, world, grant):
    opened = session(use, now=world.now)
    token_of(grant, world)
    with pytest.raises(TokenIsOver):
        bar(use, world, opened)
    assert not CommandRun.objects.filter(grant=grant).exists()


def test_it_is_not_recorded_for_a_grant_that_is_over(use, world, grant):
    opened = session(use, now=world.now)
    end_grant(grant_id=grant.pk, actor=None, reason=EndReason.REVOKED, now=world.now)
    with pytest.raises(GrantIsOver):
        bar(use, world, opened)
