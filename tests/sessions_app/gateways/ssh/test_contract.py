"""The gateway for hosts is one."""

from collections.abc import Iterator

import pytest

from sessions_app.operations.requests.decide_request import AlreadyDecided
from tests.sessions_app.gateways.contract import *  # noqa: F403  # the contract is these tests
from tests.sessions_app.gateways.contract import decide, revoke
from tests.support.servers.doors import SSHDoor
from tests.support.servers.every_gateway import ssh_door
from tests.support.waits import eventually

pytestmark = pytest.mark.timing


@pytest.fixture(scope="module")
def door(processes, tmp_path_factory, django_db_setup, django_db_blocker) -> Iterator[SSHDoor]:
    with ssh_door(django_db_blocker, tmp_path_factory) as door:
        yield door


def test_who_is_connected_is_told_that_the_gateway_restarts(door):
    grant = door.grant()
    with door.lasting(grant) as lasting:
        door.drain()
        revoke(grant)
        assert (
            "This gateway restarts within 10 min. Then connect again: your grant goes on." in lasting.said()
        )
    door.comes_back()


def test_a_holder_who_goes_away_takes_along_what_waits_and_nobody_can_allow_it_any_more(door):
    grant = door.grant()
    with door.held(grant) as held:
        held.client.kill()
        eventually(lambda: grant.runs.get().state == "cut", within=3)
        with pytest.raises(AlreadyDecided):
            decide(door, grant.runs.get(), allow=True)
