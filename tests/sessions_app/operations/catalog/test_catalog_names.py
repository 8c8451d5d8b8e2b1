"""Every name in a document means something."""

import pytest

from broker.kernel.errors import InvalidInput
from sessions_app.operations.catalog.catalog_names import check_names, unknown_names
from sessions_app.policy.catalog import read_catalog


def test_every_name_that_means_nothing_is_told_with_its_place(world):
    world.catalog["groups/lost.yaml"] = "name: lost\nmembers: [nobody]\n"
    world.catalog["policies/web-work.yaml"] = (
        world.catalog["policies/web-work.yaml"]
        .replace("[web]", "[webb]")
        .replace("[restart-web]", "[restart-webb]")
        .replace("[operators]", "[operatorss]")
    )
    catalog = read_catalog(world.catalog)
    found = {(one.place, one.what, one.name) for one in unknown_names(catalog)}
    assert found == {
        ("groups/lost", "identity", "nobody"),
        ("policies/web-work", "cluster", "webb"),
        ("policies/web-work", "command set", "restart-webb"),
        ("policies/web-work", "group", "operatorss"),
    }
    with pytest.raises(InvalidInput) as refusal:
        check_names(catalog)
    assert refusal.value.fields["policies/web-work"].count("unknown cluster webb") == 1
    assert "Nothing was changed" in str(refusal.value)


def test_what_stands_in_the_catalog_already_means_something_unless_the_files_stand_alone(world):
    alone = {path: text for path, text in world.catalog.items() if path.startswith("policies/")}
    catalog = read_catalog(alone)
    assert unknown_names(catalog) == []
    assert {one.what for one in unknown_names(catalog, alone=True)} == {"cluster", "command set", "group"}


def test_people_are_known_by_any_spelling_of_their_name(world):
    world.catalog["groups/on-call.yaml"] = "name: on-call\nmembers: [Alice]\n"
    assert unknown_names(read_catalog(world.catalog)) == []
