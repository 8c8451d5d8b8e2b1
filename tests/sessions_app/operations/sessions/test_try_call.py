"""One call of a tool: allowed, held or refused, and recorded first."""

from functools import partial

import pytest

from broker.kernel.crypto import token_digest
from sessions_app.models import CommandRun, EndReason, Grant
from sessions_app.operations.grants.delegate_grant import Part, delegate_grant
from sessions_app.operations.grants.end_grant import end_grant
from sessions_app.operations.grants.errors import GrantIsOver
from sessions_app.operations.grants.provision_grant import provision_grant
from sessions_app.operations.sessions.authorize_use import authorize_use, only
from sessions_app.operations.sessions.decide_hold import decide_hold
from sessions_app.operations.sessions.keep_results import keep_results
from sessions_app.operations.sessions.open_session import TokenIsOver
from sessions_app.operations.sessions.proofs.token import ByToken
from sessions_app.operations.sessions.try_call import Waiting, try_call
from sessions_app.operations.sessions.try_command import Tried
from sessions_app.policy.commands.mcp.decide import decided
from tests.support.world.acts import after, at_once, events, last, session
from tests.support.world.mcp_site import add_desk, grant_unseen, mail_files, pinned, token_of


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


def test_identical_calls_made_at_once_wait_as_one(live_world):
    add_desk(live_world, 9000)
    grant = grant_unseen(live_world)
    call = acting(grant, live_world)
    tried = at_once(*[partial(call, "close_ticket", {"id": "T-42"}) for _ in range(6)])
    (run,) = CommandRun.objects.filter(grant=grant)
    assert {one.run_id for one in tried} == {run.pk}
    assert events(grant.ref).count("command.held") == 1


def test_a_denied_call_is_not_asked_for_again_for_five_minutes(call, world):
    first = call("close_ticket", {"id": "T-42"})
    decide_hold(run_id=first.run_id, actor=world.bob, allow=False, now=world.now)
    assert call("close_ticket", {"id": "T-42"}) == Waiting(run_id=first.run_id, by=str(world.bob))
    assert call("close_ticket", {"id": "T-42"}, now=after(world, minutes=6)).verdict == "held"


def test_a_call_that_was_allowed_for_the_rest_of_the_grant_runs_each_time_and_no_other_call_does(mail, world):
    call = acting(mail, world)
    held = call(*TO_EVE)
    decide_hold(run_id=held.run_id, actor=world.bob, allow=True, for_grant=True, now=world.now)
    assert call(*TO_EVE).run_id == held.run_id
    call("read_ticket", {"id": "T-42"})
    assert call(*TO_EVE).verdict == "allowed"
    call = acting(mail, world)
    assert call(*TO_EVE).verdict == "allowed"
    note = f"allowed for this grant by Bob, as run {held.run_id}"
    assert last("command.allowed").data["notes"][-1] == note
    assert last("command.hold_decided").data["for_grant"] is True
    assert call("send_mail", {"to": "eve@shop", "text": "ho"}).verdict == "held"
    other = grant_unseen(world, command_set="desk-mail", parameters={})
    assert acting(other, world)(*TO_EVE).verdict == "held"


def test_a_call_that_was_denied_for_the_grant_is_held_again(mail, world):
    call = acting(mail, world)
    held = call(*TO_EVE)
    decide_hold(run_id=held.run_id, actor=world.bob, allow=False, for_grant=True, now=world.now)
    assert not CommandRun.objects.get(pk=held.run_id).allowed_for_grant
    assert call(*TO_EVE) == Waiting(run_id=held.run_id, by=str(world.bob))


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


@pytest.fixture
def mail(world):
    add_desk(world, 9000, mail_files())
    return grant_unseen(world, command_set="desk-mail", parameters={})


def acting(grant, world):
    """Return how a grant is used with a new token: a call, with what it returns."""
    token = token_of(grant, world)
    use = only(authorize_use(by=ByToken(token_digest(token), "desk")))
    opened = session(use, now=world.now, gateway="mcp-1")

    def act(name, arguments, returns=None):
        call = decided(use.compiled, name, arguments)
        tried = try_call(use=use, session_id=opened, call=call, now=world.now)
        if returns is not None:
            result = {"structuredContent": returns}
            keep_results(use=use, run_id=tried.run_id, tool=name, result=result, now=world.now)
        return tried

    return act


EVE = {"id": "T-42", "requester": {"email": "eve@shop"}}
TO_EVE = ("send_mail", {"to": "eve@shop", "text": "hi"})
OF_EVE = ("save_summary", {"id": "T-42", "text": "hi"})


def test_a_value_that_a_call_of_the_grant_returned_is_allowed_and_the_record_says_where_it_is_from(
    mail, world
):
    call = acting(mail, world)
    assert call(*TO_EVE).verdict == "held"
    assert call(*OF_EVE).decision.code == "from_result"
    looked_up = call("look_up", {"id": "T-42"}, EVE).run_id
    made = call(*TO_EVE)
    origin = f"to is look_up.requester.email of run {looked_up}"
    assert made.verdict == "allowed"
    assert last("command.allowed").data["notes"] == [origin]
    assert CommandRun.objects.get(pk=made.run_id).notes == origin
    assert call(*OF_EVE).verdict == "allowed"


def test_a_held_call_says_which_value_is_not_from_a_result(mail, world):
    acting(mail, world)(*TO_EVE)
    assert last("command.held").data["notes"] == ['to `"eve@shop"` is not from an earlier result']


def test_a_value_counts_with_the_next_token_and_in_no_other_grant(mail, world):
    acting(mail, world)("look_up", {"id": "T-42"}, EVE)
    other = grant_unseen(world, command_set="desk-mail", parameters={})
    below = delegated(mail, world)
    assert acting(mail, world)(*OF_EVE).verdict == "allowed"
    for grant in (other, below):
        assert acting(grant, world)(*OF_EVE).decision.code == "from_result"


def delegated(grant, world):
    """Return all of a grant, delegated to the deployer."""
    part = Part(identity="deployer", command_set="desk-mail", parameters={})
    made = delegate_grant(grant_id=grant.pk, actor=grant.holder, part=part, now=world.now)
    return pinned(provision_grant(grant_id=made.pk, now=world.now), world)


@pytest.mark.parametrize("first", ["the grant itself", "the grant above", "the grant below"])
def test_after_an_untrusted_call_changes_are_held_or_refused_also_in_delegated_grants(mail, world, first):
    below = delegated(mail, world)
    used = below if first == "the grant above" else mail
    acting(used, world)("look_up", {"id": "T-42"}, EVE)
    untrusted = acting(below if first == "the grant below" else mail, world)("read_ticket", {"id": "T-42"})
    call = acting(used, world)
    assert call(*OF_EVE).decision.code == "untrusted"
    assert call(*TO_EVE).verdict == "held"
    assert f"held after run {untrusted.run_id} of read_ticket" in last("command.held").data["notes"][-1]
    assert call("look_up", {"id": "T-42"}).verdict == "allowed"


def test_a_call_that_was_refused_or_never_sent_is_not_untrusted(mail, world):
    call = acting(mail, world)
    call("look_up", {"id": "T-42"}, EVE)
    assert call("read_ticket", {"id": "*"}).verdict == "refused"
    assert call(*TO_EVE).verdict == "allowed"


def test_of_50_calls_at_once_each_change_after_an_untrusted_call_is_held(live_world):
    world = live_world
    add_desk(world, 9000, mail_files())
    mail = grant_unseen(world, command_set="desk-mail", parameters={})
    call = acting(mail, world)
    call("look_up", {"id": "T-42"}, EVE)
    acts = [partial(call, *TO_EVE) for _ in range(49)]
    acts.insert(10, partial(call, "read_ticket", {"id": "T-42"}))
    tried = at_once(*acts)
    untrusted = tried.pop(10)
    late = [one for one in tried if one.run_id > untrusted.run_id]
    assert {one.verdict for one in tried if one not in late} <= {"allowed"}
    assert not [one for one in late if isinstance(one, Tried) and one.verdict == "allowed"]
    assert CommandRun.objects.filter(grant=mail, state="running", pk__gt=untrusted.run_id).count() == 0


def test_nothing_begins_in_a_grant_that_is_over(call, use, world):
    end_grant(grant_id=use.grant_id, actor=None, reason=EndReason.REVOKED, now=world.now)
    with pytest.raises(GrantIsOver):
        call("read_ticket", {"id": "T-42"})
