"""Several held commands are decided in one act, each on its own."""

from itertools import product

import pytest

from accounts.factors import ProofNeeded, SignInNeeded
from broker.kernel.errors import NotFound
from sessions_app.models import CommandRun, EndReason, RunState
from sessions_app.operations.grants.end_grant import end_grant
from sessions_app.operations.requests.decide_request import AlreadyDecided, MayNotDecide
from sessions_app.operations.sessions.decide_hold import HoldChanged, OnlyOnce, decide_hold
from sessions_app.operations.sessions.decide_holds import ReadHold, decide_holds
from sessions_app.operations.sessions.withdraw_hold import withdraw_hold
from sessions_app.queries.requests.alike import read_digest
from sessions_app.queries.requests.deciders import holds_for
from tests.support.world.acts import after, change, events, policy, run, session, use


def hold(world, grant=None, line="echo stop nginx") -> CommandRun:
    used = use(grant or world.grant(), now=world.now)
    tried = run(used, session(used, now=world.now), line, now=world.now)
    return CommandRun.objects.get(pk=tried.run_id)


@pytest.fixture
def three(world):
    grant = world.grant()
    return [hold(world, grant) for _ in range(3)]


def as_read(*runs) -> list[ReadHold]:
    return [ReadHold(one.pk, read_digest(one)) for one in runs]


def decide(world, holds, who=None, *, allow=True, **more):
    given = {"now": world.now, **more}
    outcomes = decide_holds(holds=holds, actor=who or world.bob, allow=allow, **given)
    return {one.run_id: type(one.error) if one.error else None for one in outcomes}


def test_each_is_allowed_with_its_own_entry_in_the_record(world, three):
    assert set(decide(world, as_read(*three)).values()) == {None}
    assert {one.decided_by for one in CommandRun.objects.all()} == {world.bob}
    assert events(three[0].grant.ref).count("command.hold_decided") == 3


def test_each_is_denied(world, three):
    decide(world, as_read(*three), allow=False)
    assert {one.state for one in CommandRun.objects.all()} == {RunState.HOLD_DENIED}


def test_one_that_was_withdrawn_meanwhile_does_not_affect_the_others(world, three):
    holds = as_read(*three)
    withdraw_hold(run_id=three[1].pk, actor=world.alice, now=world.now)
    outcomes = decide_holds(holds=holds, actor=world.bob, allow=True, now=world.now)
    assert [one.error is None for one in outcomes] == [True, False, True]
    assert str(outcomes[1].error).startswith("The command is no longer waiting: it was withdrawn.")


def test_why_a_command_no_longer_waits_is_said(world, three):
    first, second, third = three
    decide_hold(run_id=first.pk, actor=world.dora, allow=True, now=world.now)
    decide_hold(run_id=second.pk, actor=world.dora, allow=False, now=world.now)
    said = [
        one.error.message
        for one in decide_holds(holds=as_read(first, second), actor=world.bob, allow=True, now=world.now)
    ]
    assert [one.rpartition(": ")[2] for one in said] == ["Dora allowed it.", "Dora denied it."]
    with pytest.raises(AlreadyDecided, match="no one decided it in time"):
        decide_hold(run_id=third.pk, actor=world.bob, allow=True, now=after(world, minutes=6))
    end_grant(grant_id=third.grant_id, actor=None, reason=EndReason.REVOKED, now=world.now)
    with pytest.raises(AlreadyDecided, match="has ended"):
        decide_hold(run_id=third.pk, actor=world.bob, allow=True, now=world.now)


def test_a_command_that_differs_from_what_was_read_is_not_decided(world, three):
    CommandRun.objects.filter(pk=three[0].pk).update(line="echo stop sshd", argv=["echo", "stop", "sshd"])
    found = decide(world, [*as_read(*three[:2]), ReadHold(three[2].pk, "")])
    assert list(found.values()) == [HoldChanged, None, HoldChanged]


def test_each_can_be_allowed_as_often_as_its_policy_permits(world, three):
    assert set(decide(world, as_read(*three), times=2).values()) == {None}
    assert {one.uses_left for one in CommandRun.objects.all()} == {2}
    assert set(decide(world, as_read(hold(world)), times=11).values()) == {OnlyOnce}


def test_one_confirmation_covers_an_act_where_policies_require_one(world, three):
    world.apply(policy(world, confirmation="required"))
    holds = as_read(*three)
    assert set(decide(world, holds).values()) == {SignInNeeded}
    world.bob.proven_at = after(world, minutes=-6)
    assert set(decide(world, holds).values()) == {ProofNeeded}
    world.bob.proven_at = after(world, minutes=-4)
    assert set(decide(world, holds[:2]).values()) == {None}
    world.bob.proven_at = None
    assert set(decide(world, holds[2:], allow=False).values()) == {None}


def test_nothing_is_decided_that_a_person_may_not_decide_or_that_was_not_on_the_page(world):
    """For every person, page and selection of holds, including those of others and forged ones."""
    runs = [hold(world), hold(world), hold(world, world.grant(who=world.robot))]
    people = [world.alice, world.bob, world.robot, world.charlie, world.admin]
    change(world, {"groups/approvers.yaml": "name: approvers\nmembers: [alice, bob, dora]\n"})
    for who, (shown, allow) in product(people, [(1, True), (6, False), (7, True)]):
        who.refresh_from_db()
        CommandRun.objects.update(state=RunState.HELD, decided_at=None, decided_by=None, ended_at=None)
        may = set(holds_for(who, world.now).values_list("pk", flat=True))
        on_page = [one for at, one in enumerate(runs) if shown >> at & 1]
        forged = [ReadHold(one.pk, "0" * 64) for one in runs if one not in on_page]
        found = decide(world, [*as_read(*on_page), *forged], who, allow=allow)
        decided = {pk for pk, error in found.items() if error is None}
        assert decided == may & {one.pk for one in on_page}
        stored = CommandRun.objects.filter(decided_at__isnull=False)
        assert set(stored.values_list("pk", flat=True)) == decided
        assert {found[pk] for pk in found if pk not in may} <= {MayNotDecide, NotFound}
