"""Each gateway, once: what is allowed, what is not, and the end. How soon an end comes is measured by the contract."""

from collections.abc import Iterator

import pytest

from tests.sessions_app.gateways.contract import ended, revoke
from tests.support.servers.doors import Door
from tests.support.servers.every_gateway import DOORS
from tests.support.waits import eventually

pytestmark = pytest.mark.smoke

# A limit for what never ends, far over what any machine needs.
LONG = 120


@pytest.fixture(scope="module", params=DOORS)
def door(request, tmp_path_factory, django_db_setup, django_db_blocker) -> Iterator[Door]:
    with DOORS[request.param](django_db_blocker, tmp_path_factory) as door:
        yield door


def test_what_is_approved_reaches_the_target_and_nothing_else_does(door):
    grant = door.grant()
    answer = door.once(grant)
    assert answer.done, answer.text
    refused = door.outside(grant)
    assert not refused.done
    assert "Nearest: " in refused.text
    assert door.reached(grant) == 1


def test_a_revoke_cuts_what_is_under_way_and_its_end_is_proven(door):
    grant = door.grant()
    with door.lasting(grant) as lasting:
        revoke(grant)
        eventually(lambda: not lasting.lives(), within=LONG)
        assert "has ended: revoked" in lasting.said()
    assert not door.once(grant).done
    eventually(lambda: ended(door, grant), within=LONG)


def test_the_deadline_cuts_what_is_under_way_and_its_end_is_proven(door):
    grant = door.grant(duration=8)
    with door.lasting(grant) as lasting:
        eventually(lambda: not lasting.lives(), within=LONG)
        assert "has ended: expired" in lasting.said()
    eventually(lambda: ended(door, grant), within=LONG)
    assert grant.end_reason == "expired"
