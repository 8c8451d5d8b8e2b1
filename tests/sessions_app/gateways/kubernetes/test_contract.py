"""The gateway for clusters is one."""

from collections.abc import Iterator

import pytest

from tests.sessions_app.gateways.contract import *  # noqa: F403  # the contract is these tests
from tests.support.servers.every_gateway import kubernetes_door
from tests.support.servers.kubernetes_door import KubernetesDoor

pytestmark = pytest.mark.timing


@pytest.fixture(scope="module")
def door(processes, tmp_path_factory, django_db_setup, django_db_blocker) -> Iterator[KubernetesDoor]:
    with kubernetes_door(django_db_blocker, tmp_path_factory) as door:
        yield door
