"""A second person decides one held command."""

import pytest

from broker.kernel.errors import NotFound
from sessions_app.models import CommandRun, EndReason, RunState
from sessions_app.operations.grants.end_grant import end_grant
from sessions_app.operations.requests.decide_request import AlreadyDecided, MayNotDecide
from sessions_app.operations.sessions.decide_hold import GatewayIsLost, OnlyOnce, decide_hold
from sessions_app.queries.grants.current import hold_of
from tests.support.waits import PATIENCE
from tests.support.world.acts import after, at_once, change, events, last, run, session, use


@pytest.fixture
def held(world):
    used = use(world.grant(), now=world.now)
    return CommandRun.objects.get(
        pk=run(used, session(used, now=world.now), "echo stop nginx", now=world.now).run_id
    )


def decide(world, held, who=None, *, allow=True, now=None) -> CommandRun:
    return decide_hold(run_id=held.pk, actor=who or world.bob, allow=allow, now=now or world.now)


def test_an_allowance_is_recorded_with_the_exact_words(world, held):
    assert decide(world, held).state == RunState.HELD
    assert hold_of(held.pk, world.now).state == "allowed"
    entry = last("command.hold_decided", held.grant.ref)
    assert (entry.actor, entry.data["allowed"], entry.data["argv"]) == (
        "bob",
        True,
        ["echo", "stop", "nginx"],
    )


def test_only_a_tool_call_can_be_allowed_for_the_rest_of_a_grant(world, held):
    with pytest.raises(OnlyOnce):
        decide_hold(run_id=held.pk, actor=world.bob, allow=True, for_grant=True, now=world.now)
    assert held.waits(world.now)


@pytest.mark.parametrize(("permits", "times"), [("", 11), ("{times: 4}", 5), ("{times: 1}", 2), ("", 0)])
def test_a_policy_limits_how_often_one_approval_allows_a_command(world, held, permits, times):
    if permits:
        name = "policies/web-work.yaml"
        change(world, {name: f"{world.catalog[name]}hold_answers: {permits}\n"})
    with pytest.raises(OnlyOnce, match="permits 1 to"):
        decide_hold(run_id=held.pk, actor=world.bob, allow=True, times=times, now=world.now)
    assert held.waits(world.now)


def test_nothing_is_allowed_once_its_gateway_is_lost_and_a_denial_still_counts(world, held):
    with pytest.raises(GatewayIsLost, match="no longer responds"):
        decide(world, held, now=after(world, seconds=12.5))
    assert CommandRun.objects.get(pk=held.pk).decided_by is None
    assert decide(world, held, allow=False, now=after(world, seconds=13)).state == RunState.HOLD_DENIED


def test_a_gateway_that_is_late_but_not_lost_can_still_run_what_is_allowed(world, held):
    assert decide(world, held, now=after(world, seconds=12)).decided_by == world.bob


def test_a_denial_ends_the_wait(world, held):
    denied = decide(world, held, allow=False)
    assert (denied.state, denied.ended_at) == (RunState.HOLD_DENIED, world.now)
    assert hold_of(held.pk, world.now).state == "denied"


STRANGERS = [
    ("alice", MayNotDecide),
    ("robot", NotFound),
    ("charlie", NotFound),
    ("admin", MayNotDecide),
]


def test_the_holder_machines_and_strangers_decide_nothing(world, held):
    for who, error in STRANGERS:
        with pytest.raises(error):
            decide(world, held, getattr(world, who))
        assert hold_of(held.pk, world.now).state == "held"


def test_the_holder_as_approver_or_with_a_second_account_decides_nothing(world, held):
    change(world, {"groups/approvers.yaml": "name: approvers\nmembers: [alice, bob, dora, robot]\n"})
    type(world.dora).objects.filter(pk=world.dora.pk).update(email="Alice@example.com")
    for who in (world.alice, world.robot, world.dora):
        who.refresh_from_db()
        with pytest.raises(MayNotDecide):
            decide(world, held, who)


def test_what_is_decided_lapsed_or_over_is_not_decided(world, held):
    with pytest.raises(AlreadyDecided):
        decide(world, held, now=held.hold_lapses_at)
    decide(world, held)
    for allow in (True, False):
        with pytest.raises(AlreadyDecided):
            decide(world, held, world.dora, allow=allow)
    assert events(held.grant.ref).count("command.hold_decided") == 1


def test_after_the_end_a_hold_is_over(world, held):
    end_grant(grant_id=held.grant_id, actor=None, reason=EndReason.REVOKED, now=world.now)
    with pytest.raises(AlreadyDecided):
        decide(world, held)
    assert hold_of(held.pk, world.now).state == "over"


def test_yes_and_no_at_once_have_one_outcome(live_world):
    used = use(live_world.grant(), now=live_world.now)
    opened = session(used, now=live_world.now)
    for _ in range(4):
        tried = run(used, opened, "echo stop nginx", now=live_world.now)
        results = at_once(
            lambda tried=tried: decide_hold(
                run_id=tried.run_id, actor=live_world.bob, allow=True, now=live_world.now
            ),
            lambda tried=tried: decide_hold(
                run_id=tried.run_id, actor=live_world.dora, allow=False, now=live_world.now
            ),
        )
        assert sum(isinstance(result, AlreadyDecided) for result in results) == 1


def test_gateways_hear_of_it_at_once(live_world, app_connection):
    used = use(live_world.grant(), now=live_world.now)
    tried = run(used, session(used, now=live_world.now), "echo stop nginx", now=live_world.now)
    app_connection.execute("LISTEN stint_hold")
    decide_hold(run_id=tried.run_id, actor=live_world.bob, allow=True, now=live_world.now)
    assert [note.payload for note in app_connection.notifies(timeout=PATIENCE, stop_after=1)] == [
        str(tried.run_id)
    ]


def test_a_hold_that_lapses_is_recorded(world, held):
    from sessions_app.operations.sweep.sweep import sweep

    late = after(world, minutes=5)
    assert sweep(now=lambda: late, name="test").lapsed == 1
    held.refresh_from_db()
    assert (held.state, held.ended_at) == (RunState.HOLD_LAPSED, late)
    assert last("command.hold_decided", held.grant.ref).data == {
        "run": held.pk,
        "allowed": False,
        "argv": ["echo", "stop", "nginx"],
        "target": "web-1",
        "lapsed": True,
    }


def test_a_hold_that_is_not_there_is_over_and_not_found(world):
    assert hold_of(0, world.now).state == "over"
    with pytest.raises(NotFound):
        decide_hold(run_id=0, actor=world.bob, allow=True, now=world.now)
