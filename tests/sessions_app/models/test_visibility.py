"""Who may see what by the permissions that they hold, read each time or once for a page."""

import itertools

import pytest
from guardian.shortcuts import assign_perm, remove_perm

from accounts.models import Identity
from sessions_app.models import AccessPolicy, AccessRequest, Cluster, Grant
from sessions_app.models.visibility import hold_still

NOUNS = {"cluster": Cluster, "accesspolicy": AccessPolicy}
PERMISSIONS = ("view", "request", "approve", "administer")


def fresh(identity: Identity, *, still: bool) -> Identity:
    found = Identity.objects.get(pk=identity.pk)
    if still:
        hold_still(found)
    return found


def seen_by(identity: Identity) -> list[list[int]]:
    models = (Grant, AccessRequest, Cluster, AccessPolicy)
    return [sorted(model.objects.visible_to(identity).values_list("pk", flat=True)) for model in models]


@pytest.mark.parametrize("who", ["alice", "bob", "dora", "charlie", "robot", "deployer", "admin"])
def test_reading_once_shows_what_reading_each_time_shows(world, who):
    world.grant()
    world.grant(who=world.robot)
    assign_perm("view_cluster", world.deployer, Cluster.objects.get(name="web"))
    person = getattr(world, who)
    assert seen_by(fresh(person, still=True)) == seen_by(fresh(person, still=False))


@pytest.mark.parametrize("noun", NOUNS)
@pytest.mark.parametrize("of_group", [True, False], ids=["by_a_group", "by_themselves"])
@pytest.mark.parametrize("permission", PERMISSIONS)
def test_a_permission_is_held_on_its_row_and_for_its_act_alone(world, noun, of_group, permission):
    row = NOUNS[noun].objects.first()
    if of_group:
        group = world.bob.groups.get(name="approvers")
        world.charlie.groups.set([group])
        for name in PERMISSIONS:
            remove_perm(f"{name}_{noun}", group, row)
    assign_perm(f"{permission}_{noun}", group if of_group else world.charlie, row)
    for asked, still in itertools.product(PERMISSIONS, (True, False)):
        held = NOUNS[noun].objects.held_by(fresh(world.charlie, still=still), asked)
        assert [one.pk for one in held] == ([row.pk] if asked == permission else []), (asked, still)


def test_what_is_taken_from_somebody_is_gone_at_the_next_page(world, client):
    grant = world.grant()
    client.force_login(world.bob, backend="accounts.backends.PasswordBackend")
    page = f"/grants/{grant.ref}/"
    assert client.get(page).status_code == 200
    world.bob.groups.clear()
    assert client.get(page).status_code == 404


def test_an_object_that_nobody_holds_still_reads_each_time(world):
    reader = fresh(world.charlie, still=False)
    assert not Cluster.objects.held_by(reader, "view").exists()
    assign_perm("view_cluster", reader, Cluster.objects.first())
    assert Cluster.objects.held_by(reader, "view").exists()
