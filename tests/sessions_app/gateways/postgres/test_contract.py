"""The PostgreSQL gateway passes the contract of gateways."""

from collections.abc import Iterator

import pytest

from tests.sessions_app.gateways.contract import *  # noqa: F403  # the contract is these tests
from tests.support.servers.every_gateway import postgres_endpoint
from tests.support.servers.postgres_endpoint import PostgresEndpoint

pytestmark = pytest.mark.timing


@pytest.fixture(scope="module")
def endpoint(processes, tmp_path_factory, django_db_setup, django_db_blocker) -> Iterator[PostgresEndpoint]:
    with postgres_endpoint(django_db_blocker, tmp_path_factory) as endpoint:
        yield endpoint
