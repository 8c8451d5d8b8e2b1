"""A real server, set up by the SQL that administrators get."""

import pytest

from broker.embedded.state import temporary_state_dir
from sessions_app.connectors.base import LeaseSpec
from tests.support.servers.mariadb_server import MariaDBServer


@pytest.fixture(scope="session")
def maria(processes):
    with temporary_state_dir("stint-mdb-") as folder, MariaDBServer(folder).running() as server:
        yield server


@pytest.fixture(autouse=True)
def nothing_left(request):
    """No test leaves an account of a grant behind."""
    yield
    if "maria" in request.fixturenames:
        maria = request.getfixturevalue("maria")
        for one in maria.connector.observe(maria.place()):
            maria.connector.revoke(LeaseSpec(grant_ref="GR-TEST", mark=one.mark, place=maria.place()))
