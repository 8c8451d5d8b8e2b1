"""For whom an identity answers: itself, and the machines that it owns."""

from __future__ import annotations

from accounts.models import Identity, answered_for_by
from sessions_app.models import Grant


def names(condition) -> set[str]:
    return set(Identity.objects.filter(condition).values_list("username", flat=True))


def test_a_person_answers_for_their_machines_and_a_machine_for_itself(world):
    mine = {"alice", *Identity.objects.filter(owner=world.alice).values_list("username", flat=True)}
    assert "robot" in mine
    assert names(answered_for_by(world.alice)) == mine
    assert names(answered_for_by(world.robot)) == {"robot"}
    assert names(answered_for_by(world.bob)).isdisjoint(mine)


def test_rows_of_either_are_reached_by_a_path(world):
    grants = {world.grant().pk, world.grant(who=world.robot).pk}
    assert (
        set(Grant.objects.filter(answered_for_by(world.alice, "holder")).values_list("pk", flat=True))
        == grants
    )
    assert not Grant.objects.filter(answered_for_by(world.bob, "holder")).exists()
