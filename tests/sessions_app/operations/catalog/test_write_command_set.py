"""A command set is published once for what it says."""

from sessions_app.models import CommandSet
from sessions_app.operations.catalog.write_command_set import is_published
from sessions_app.policy.catalog import read_catalog


def test_a_command_set_is_published_as_long_as_it_is_there_and_says_the_same(world):
    file = read_catalog(world.catalog).command_sets["restart-web"]
    command_set = CommandSet.objects.get()
    assert is_published(command_set, file)
    assert not is_published(None, file)
    command_set.removed_at = world.now
    assert not is_published(command_set, file)
    other = {path: text.replace("Restart one", "Restart a") for path, text in world.catalog.items()}
    assert not is_published(CommandSet.objects.get(), read_catalog(other).command_sets["restart-web"])
