"""Taking out of use."""

import pytest
from guardian.shortcuts import assign_perm

from broker.kernel.errors import NotFound
from sessions_app.models import AccessPolicy, Cluster, CommandSet, EndReason, GrantState
from sessions_app.operations.catalog.remove_document import remove_document
from sessions_app.operations.catalog.save_draft import OnlyAdministratorsSetUp
from tests.support.world.acts import fresh, intact, last

THINGS = [
    ("clusters", "web", Cluster, "cluster.removed", EndReason.CLUSTER_REMOVED),
    ("policies", "web-work", AccessPolicy, "policy.removed", EndReason.POLICY_CHANGED),
    ("command-sets", "restart-web", CommandSet, "command_set.retired", EndReason.POLICY_CHANGED),
]


def remove(world, kind, name, who=None, **more):
    return remove_document(kind=kind, name=name, actor=who or world.admin, now=world.now, **more)


@pytest.mark.parametrize(("kind", "name", "model", "event", "reason"), THINGS)
def test_what_is_removed_ends_what_was_granted_by_it(world, kind, name, model, event, reason):
    grant = world.grant()
    assert remove(world, kind, name, plan_only=True).ends == (grant.ref,)
    assert model.objects.live().filter(name=name).exists()
    assert remove(world, kind, name, told=[grant.ref]).ends == (grant.ref,)
    assert not model.objects.live().filter(name=name).exists()
    assert (fresh(grant).state, grant.end_reason) == (GrantState.REVOKING, reason)
    assert last(event, name).actor == "admin"
    assert intact()


@pytest.mark.parametrize(("kind", "name"), [thing[:2] for thing in THINGS])
def test_only_administrators_remove(world, kind, name):
    for who in (world.alice, world.bob, world.robot):
        with pytest.raises(OnlyAdministratorsSetUp):
            remove(world, kind, name, who)
    with pytest.raises(NotFound):
        remove(world, kind, "no-such")


def test_who_administers_a_cluster_may_remove_it(world):
    assign_perm("administer_cluster", world.dora, Cluster.objects.get(name="web"))
    assert remove(world, "clusters", "web", world.dora).changes
