"""The time zone that pages speak in."""

import pytest

from accounts.operations.set_time_zone import set_time_zone
from broker.kernel.errors import InvalidInput, NotFound
from tests.support.world.acts import last


def test_a_person_chooses_and_the_record_has_before_and_after(world):
    changed = set_time_zone(
        identity_id=world.alice.pk, time_zone="Europe/Berlin", actor=world.alice, now=world.now
    )
    assert changed.time_zone == "Europe/Berlin"
    assert last("identity.changed", "alice").data == {"time_zone": {"before": "UTC", "now": "Europe/Berlin"}}


NO_ZONES = ["", "Mars/Olympus", "../UTC", "europe/berlin"]


def test_a_zone_that_is_none_is_refused(world):
    for zone in NO_ZONES:
        with pytest.raises(InvalidInput):
            set_time_zone(identity_id=world.alice.pk, time_zone=zone, actor=world.alice, now=world.now)


def test_nobody_chooses_for_another(world):
    for who in (world.bob, world.admin):
        with pytest.raises(NotFound):
            set_time_zone(identity_id=world.alice.pk, time_zone="UTC", actor=who, now=world.now)
