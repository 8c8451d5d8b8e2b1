"""Queries that answer in SQL what the filters on identities say."""

import pytest

from accounts.models import Identity, Kind
from accounts.queries import each_person, each_person_in, enabled_and_groups, groups_of_people, people_in


@pytest.mark.parametrize("kind", Kind.values)
@pytest.mark.parametrize("enabled", [True, False])
@pytest.mark.parametrize("owner_enabled", [True, False])
def test_who_may_act_is_the_same_by_filter_by_object_and_with_groups(world, kind, enabled, owner_enabled):
    owner = None if kind == Kind.PERSON else world.bob
    Identity.objects.filter(pk=world.bob.pk).update(is_active=owner_enabled)
    Identity.objects.filter(pk=world.alice.pk).update(kind=kind, is_active=enabled, owner=owner)
    alice = Identity.objects.select_related("owner").get(pk=world.alice.pk)
    expected = Identity.objects.active().filter(pk=alice.pk).exists()
    assert alice.may_act is expected
    assert enabled_and_groups(alice) == (expected, {group.name for group in alice.groups.all()})


def test_the_people_in_groups_are_those_of_the_filter(world):
    groups = set(Identity.objects.filter(groups__isnull=False).values_list("groups__name", flat=True))
    Identity.objects.filter(pk=world.dora.pk).update(email="")
    for but in ((), [world.alice], [world.bob], [Identity.objects.get(pk=world.dora.pk)]):
        found = people_in(groups, but=but)
        assert each_person_in(groups, but=but) == each_person(found.order_by("name", "username"))
        pairs = set(found.values_list("person", "groups__name"))
        assert sorted(map(sorted, groups_of_people(groups, but=but))) == sorted(
            sorted(group for one, group in pairs if one == person) for person in {one for one, _ in pairs}
        )
    Identity.objects.filter(pk=world.bob.pk).update(is_active=False)
    assert world.bob not in each_person_in(groups, but=())
