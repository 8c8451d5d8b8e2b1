"""A real server of the newest version that is here, and of each where versions differ, set up by the SQL that
administrators get.
"""

import pytest

from broker.embedded.state import temporary_state_dir
from sessions_app.connectors.base import LeaseSpec
from tests.support.servers.postgres_server import PostgresServer, majors
from tests.support.servers.postgres_shop import set_up


@pytest.fixture(scope="session")
def shop(processes, request):
    """A server of the newest version, or of the one that `each_version` gives."""
    major = getattr(request, "param", majors()[-1])
    with temporary_state_dir("stint-pg-") as state, PostgresServer(state, major) as server:
        yield set_up(server)


@pytest.fixture(autouse=True)
def nothing_left(request):
    """No test leaves a role of a grant behind."""
    yield
    if "shop" in request.fixturenames:
        shop = request.getfixturevalue("shop")
        for one in shop.connector.observe(shop.place()):
            shop.connector.revoke(LeaseSpec(grant_ref="GR-TEST", mark=one.mark, place=shop.place()))
