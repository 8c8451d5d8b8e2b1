"""End and Kill."""

import pytest

from broker.kernel.errors import NotFound
from sessions_app.models import GrantState
from sessions_app.operations.grants.stop_grant import stop_grant
from tests.support.world.acts import after, change, last


def stop(world, grant, who, **more):
    return stop_grant(grant_id=grant.pk, actor=who, now=world.now, **more)


@pytest.mark.parametrize(
    ("who", "reason"), [("alice", "released"), ("bob", "revoked"), ("dora", "revoked"), ("admin", "revoked")]
)
def test_holder_approvers_and_administrators_end_a_grant(world, who, reason):
    grant = stop(world, world.grant(), getattr(world, who), note="enough")
    assert (grant.state, grant.end_reason, grant.end_note) == (GrantState.REVOKING, reason, "enough")
    assert last("grant.revoking", grant.ref).actor == who


def test_an_owner_ends_what_the_machine_holds(world):
    world.decide(world.request(world.robot))
    grant = world.robot.grants.get()
    assert stop(world, grant, world.alice).end_reason == "released"


STRANGERS = ["charlie", "robot", "deployer"]


def test_a_stranger_is_told_that_there_is_no_such_grant(world):
    for who in STRANGERS:
        grant = world.grant()
        answers = []
        for pk in (grant.pk, 0):
            with pytest.raises(NotFound) as refusal:
                stop_grant(grant_id=pk, actor=getattr(world, who), now=world.now)
            answers.append(str(refusal.value))
        assert len(set(answers)) == 1
        grant.refresh_from_db()
        assert grant.state == GrantState.ACTIVE


def test_end_lets_commands_finish_and_kill_does_not(world):
    ended, killed = world.grant(), world.grant()
    assert stop(world, ended, world.alice).finish_until == after(world, minutes=5)
    assert stop(world, killed, world.alice, kill=True).finish_until is None
    assert stop(world, ended, world.alice, kill=True).finish_until == world.now


def test_a_viewer_may_look_and_not_end(world):
    from sessions_app.models import Grant
    from tests.support.world.acts import policy

    change(world, policy(world, viewers={"identities": ["charlie"]}))
    grant = world.grant()
    assert Grant.objects.visible_to(world.charlie).filter(pk=grant.pk).exists()
    with pytest.raises(NotFound):
        stop(world, grant, world.charlie)
