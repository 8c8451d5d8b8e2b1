"""Groups that the identity provider governs."""

from django.contrib.auth.models import Group

from sessions_app.models import EndReason, Grant, GrantState
from sessions_app.operations.identities.follow_provider_groups import follow_provider_groups
from tests.support.world.acts import events, fresh, last


def follow(world, named, governed, person=None) -> set[str]:
    person = person or world.alice
    follow_provider_groups(identity_id=person.pk, named=named, governed=governed, now=world.now)
    return set(person.groups.values_list("name", flat=True))


def test_somebody_is_put_in_and_taken_out_and_others_stay_where_they_are(world):
    assert follow(world, ["approvers"], ["operators", "approvers"]) == {"approvers", "on-call"}
    assert set(Group.objects.get(name="operators").user_set.values_list("username", flat=True)) == {
        "robot",
        "deployer",
    }
    assert last("permission.changed", "approvers").data["after"] == ["alice", "bob", "dora"]
    assert last("catalog.applied").data["count"] == 2


def test_what_rested_on_a_lost_group_ends_and_nothing_else(world):
    lost = world.grant()
    follow(world, ["operators"], ["operators", "approvers"])
    assert Grant.objects.get(pk=lost.pk).state == GrantState.ACTIVE
    follow(world, [], ["operators"])
    assert (fresh(lost).state, lost.end_reason) == (GrantState.REVOKING, EndReason.POLICY_CHANGED)


def test_where_nothing_differs_nothing_is_recorded(world):
    before = events()
    assert follow(world, ["operators", "unknown"], ["operators", "approvers", "nobodys"]) == {
        "operators",
        "on-call",
    }
    assert events() == before
    assert not Group.objects.filter(name="nobodys").exists()


def test_a_governed_group_that_is_not_there_is_made_when_it_is_named(world):
    assert "new-team" in follow(world, ["new-team"], ["new-team"])
