"""The gateway for HTTP is one."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator

import pytest

from tests.sessions_app.gateways.contract import *  # noqa: F403  # the contract is these tests
from tests.support.http_door import HTTPDoor
from tests.support.http_place import http_place
from tests.support.proxy import BlackHole, black_hole


@pytest.fixture(scope="module")
def door(tmp_path_factory, django_db_setup, django_db_blocker) -> Iterator[HTTPDoor]:
    folder, ways = tmp_path_factory.mktemp("http"), list[BlackHole]()
    with contextlib.ExitStack() as stack:

        def through(env: dict[str, str]) -> dict[str, str]:
            way, url = stack.enter_context(black_hole(folder / "hole", env["DATABASE_URL"]))
            ways.append(way)
            return {**env, "DATABASE_URL": url}

        with http_place(django_db_blocker, folder, change=through) as place:
            yield HTTPDoor(place, ways[0])
            place.stop(signal.SIGTERM)
            # What the way still holds of a gateway that was killed would keep the database in use.
            stack.close()
