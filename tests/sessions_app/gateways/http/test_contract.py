"""The HTTP gateway passes the contract of gateways."""

from collections.abc import Iterator

import pytest

from tests.sessions_app.gateways.contract import *  # noqa: F403  # the contract is these tests
from tests.support.servers.every_gateway import http_endpoint
from tests.support.servers.http_endpoint import HTTPEndpoint

pytestmark = pytest.mark.timing


@pytest.fixture(scope="module")
def endpoint(processes, tmp_path_factory, django_db_setup, django_db_blocker) -> Iterator[HTTPEndpoint]:
    with http_endpoint(django_db_blocker, tmp_path_factory) as endpoint:
        yield endpoint
