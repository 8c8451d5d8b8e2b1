"""The MCP gateway passes the contract of gateways."""

import time
from collections.abc import Iterator

import pytest

from sessions_app.gateways.mcp.answers import SIGN_OF_LIFE_S
from tests.sessions_app.gateways.contract import *  # noqa: F403  # the contract is these tests
from tests.sessions_app.gateways.contract import LIMIT, ended, open_sessions, revoke
from tests.support.servers.endpoints import MCPEndpoint
from tests.support.servers.every_gateway import mcp_endpoint
from tests.support.waits import eventually

pytestmark = pytest.mark.timing

# A streams process only stops: pages connect to another one, and agents call again.
test_a_gateway_that_drains_lets_nobody_new_in_and_what_is_under_way_go_on = None
test_a_gateway_that_drains_keeps_the_end_of_what_is_under_way = None


@pytest.fixture(scope="module")
def endpoint(processes, tmp_path_factory, django_db_setup, django_db_blocker) -> Iterator[MCPEndpoint]:
    with mcp_endpoint(django_db_blocker, tmp_path_factory) as endpoint:
        yield endpoint


def test_no_call_is_open_at_the_server_once_its_session_is_closed_whatever_its_client_reads(endpoint):
    grant = endpoint.grant()
    with endpoint.flood(grant, "burst_ticket") as burst:
        # By now the gateway tries to send a keep-alive comment, for which there is no buffer space.
        time.sleep(SIGN_OF_LIFE_S + 2)
        assert burst.lives()
        revoke(grant)
        eventually(lambda: not open_sessions(grant), within=LIMIT)
        assert not burst.lives()
    eventually(lambda: ended(endpoint, grant), within=15)
    eventually(lambda: grant.runs.get().state == "cut")
