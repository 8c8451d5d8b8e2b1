"""The gateway for hosts is one."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.sessions_app.gateways.conftest import make_place
from tests.sessions_app.gateways.contract import *  # noqa: F403  # the contract is these tests
from tests.sessions_app.gateways.contract import revoke
from tests.support.doors import SSHDoor, policies
from tests.support.proxy import black_hole


@pytest.fixture(scope="module")
def door(tmp_path_factory, django_db_setup, django_db_blocker) -> Iterator[SSHDoor]:
    with django_db_blocker.unblock():
        for place in make_place(tmp_path_factory, start=False):
            with black_hole(place.folder / "hole", place.env["DATABASE_URL"]) as (way, url):
                place.world.catalogue.update({**place.catalogue(), **policies("web", "restart-web")})
                place.world.apply()
                opened = SSHDoor(place, way, url)
                opened.start()
                yield opened
                opened.stop()


def test_who_is_connected_is_told_that_the_gateway_restarts(door):
    grant = door.grant()
    with door.lasting(grant) as lasting:
        door.drain()
        revoke(grant)
        assert (
            "This gateway restarts within 10 min. Then connect again: your grant goes on." in lasting.said()
        )
    door.comes_back()
