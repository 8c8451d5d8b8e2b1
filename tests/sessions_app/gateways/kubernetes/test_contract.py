"""The gateway for clusters is one."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator

import pytest

from tests.sessions_app.gateways.contract import *  # noqa: F403  # the contract is these tests
from tests.support.doors import TERMS
from tests.support.kubernetes_door import KubernetesDoor
from tests.support.kubernetes_place import kubernetes_place, policy
from tests.support.proxy import BlackHole, black_hole


@pytest.fixture(scope="module")
def door(tmp_path_factory, django_db_setup, django_db_blocker) -> Iterator[KubernetesDoor]:
    folder, ways = tmp_path_factory.mktemp("kube"), list[BlackHole]()
    files = {
        "policies/prod-work.yaml": policy("prod-work", **TERMS),
        "policies/prod-tickets.yaml": policy("prod-tickets", **TERMS, workflow={"kinds": ["ticket"]}),
    }
    with django_db_blocker.unblock(), contextlib.ExitStack() as stack:

        def through(env: dict[str, str]) -> dict[str, str]:
            way, url = stack.enter_context(black_hole(folder / "hole", env["DATABASE_URL"]))
            ways.append(way)
            return {**env, "DATABASE_URL": url}

        with kubernetes_place(django_db_blocker, folder, files=files, change=through) as place:
            yield KubernetesDoor(place, ways[0])
            place.stop(signal.SIGTERM)
            # What the way still holds of a gateway that was killed would keep the database in use.
            stack.close()
