"""One call of a tool: allowed, held or refused, and recorded first."""

import pytest

from broker.kernel.crypto import token_digest
from sessions_app.models import CommandRun, EndReason, Grant
from sessions_app.operations.grants.end_grant import end_grant
from sessions_app.operations.grants.errors import GrantIsOver
from sessions_app.operations.sessions.authorize_use import authorize_use, only
from sessions_app.operations.sessions.decide_hold import decide_hold
from sessions_app.operations.sessions.open_session import TokenIsOver
from sessions_app.operations.sessions.proofs.token import ByToken
from sessions_app.operations.sessions.try_call import Waiting, try_call
from sessions_app.policy.commands.mcp.decide import decided
from tests.support.world.acts import after, last, session
from tests.support.world.mcp_site import add_desk, grant_unseen, token_of


@pytest.fixture
def use(world):
    add_desk(world, 9000)
    token = token_of(grant_unseen(world), world)
    return only(authorize_use(by=ByToken(token_digest(token), "desk")))


@pytest.fixture
def call(world, use):
    opened = session(use, now=world.now, gateway="mcp-1")

    def act(name, arguments, *, now=None):
        return try_call(
            use=use, session_id=opened, call=decided(use.compiled, name, arguments), now=now or world.now
        )

    return act


def test_an_allowed_call_is_running_and_recorded(call, use):
    tried = call("read_ticket", {"id": "T-42"})
    run = CommandRun.objects.get(pk=tried.run_id)
    assert (tried.verdict, run.state, run.line) == ("allowed", "running", 'read_ticket {"id":"T-42"}')
    assert run.deadline == use.expires_at
    assert last("command.allowed").data["argv"] == ["read_ticket", '{"id":"T-42"}']


def test_the_same_held_call_asks_once_and_runs_once(call, world):
    first = call("close_ticket", {"id": "T-42"})
    assert first.verdict == "held"
    assert call("close_ticket", {"id": "T-42"}) == Waiting(run_id=first.run_id, by="")
    decide_hold(run_id=first.run_id, actor=world.bob, allow=True, now=world.now)
    made = call("close_ticket", {"id": "T-42"})
    assert (made.verdict, made.run_id) == ("allowed", first.run_id)
    assert call("close_ticket", {"id": "T-42"}).verdict == "held"


def test_a_denied_call_is_not_asked_for_again_for_five_minutes(call, world):
    first = call("close_ticket", {"id": "T-42"})
    decide_hold(run_id=first.run_id, actor=world.bob, allow=False, now=world.now)
    assert call("close_ticket", {"id": "T-42"}) == Waiting(run_id=first.run_id, by=str(world.bob))
    assert call("close_ticket", {"id": "T-42"}, now=after(world, minutes=6)).verdict == "held"


def test_a_hold_that_lapsed_is_asked_for_anew(call, world):
    first = call("close_ticket", {"id": "T-42"})
    later = call("close_ticket", {"id": "T-42"}, now=after(world, minutes=6))
    assert (later.verdict, later.run_id == first.run_id) == ("held", False)


def test_nothing_begins_with_a_token_that_was_replaced_meanwhile_and_the_record_says_so(call, use, world):
    token_of(Grant.objects.get(pk=use.grant_id), world)
    with pytest.raises(TokenIsOver):
        call("read_ticket", {"id": "T-42"})
    entry = last("command.refused", use.grant_ref)
    assert (entry.data["line"], entry.data["why"]) == ('read_ticket {"id":"T-42"}', "the token was replaced")
    assert not CommandRun.objects.filter(grant=use.grant_id).exists()


def test_what_was_allowed_to_a_token_before_runs_with_the_next_one_and_not_with_the_old(call, use, world):
    first = call("close_ticket", {"id": "T-42"})
    decide_hold(run_id=first.run_id, actor=world.bob, allow=True, now=world.now)
    text = token_of(Grant.objects.get(pk=use.grant_id), world)
    with pytest.raises(TokenIsOver):
        call("close_ticket", {"id": "T-42"})
    fresh = only(authorize_use(by=ByToken(token_digest(text), "desk")))
    made = try_call(
        use=fresh,
        session_id=session(fresh, now=world.now, gateway="mcp-1"),
        now=world.now,
        call=decided(fresh.compiled, "close_ticket", {"id": "T-42"}),
    )
    assert (made.verdict, made.run_id) == ("allowed", first.run_id)


def test_nothing_begins_in_a_grant_that_is_over(call, use, world):
    end_grant(grant_id=use.grant_id, actor=None, reason=EndReason.REVOKED, now=world.now)
    with pytest.raises(GrantIsOver):
        call("read_ticket", {"id": "T-42"})
