"""Acts of one person that wait for each other."""

from django.db import transaction

from accounts.operations.lock_person import lock_person
from tests.support.world.acts import Started, wait_for_waiters


def locked(identity):
    with transaction.atomic():
        return lock_person(identity=identity)


def test_a_machine_waits_for_its_owner_and_others_do_not(live_world, owner_connection):
    with transaction.atomic():
        lock_person(identity=live_world.alice)
        machine = Started(lambda: locked(live_world.robot))
        wait_for_waiters(owner_connection, 1)
        assert Started(lambda: locked(live_world.bob)).result() == live_world.bob
    assert machine.result() == live_world.alice
