"""The PostgreSQL gateway for each module, in front of the system's server, which has TLS."""

from collections.abc import Iterator

import pytest

from tests.sessions_app.gateways.core.conftest import pytest_pyfunc_call  # noqa: F401  # coroutine tests
from tests.support.servers.postgres_place import Place, postgres_place
from tests.support.servers.postgres_server import majors


@pytest.fixture(scope="module")
def place(processes, tmp_path_factory, django_db_setup, django_db_blocker) -> Iterator[Place]:
    with (
        django_db_blocker.unblock(),
        postgres_place(django_db_blocker, tmp_path_factory.mktemp("postgres"), major=majors()[0]) as place,
    ):
        yield place
