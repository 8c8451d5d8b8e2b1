"""The SSH gateway passes the contract of gateways."""

from collections.abc import Iterator

import pytest

from sessions_app.operations.requests.decide_request import AlreadyDecided
from tests.sessions_app.gateways.contract import *  # noqa: F403  # the contract is these tests
from tests.sessions_app.gateways.contract import decide, revoke
from tests.support.servers.endpoints import SSHEndpoint
from tests.support.servers.every_gateway import ssh_endpoint
from tests.support.waits import eventually

pytestmark = pytest.mark.timing


@pytest.fixture(scope="module")
def endpoint(processes, tmp_path_factory, django_db_setup, django_db_blocker) -> Iterator[SSHEndpoint]:
    with ssh_endpoint(django_db_blocker, tmp_path_factory) as endpoint:
        yield endpoint


def test_who_is_connected_is_told_that_the_gateway_restarts(endpoint):
    grant = endpoint.grant()
    with endpoint.lasting(grant) as lasting:
        endpoint.drain()
        revoke(grant)
        assert (
            "This gateway restarts within 10 min. Your grant continues: connect again after that."
            in lasting.said()
        )
    endpoint.comes_back()


def test_a_holder_who_goes_away_takes_along_what_waits_and_nobody_can_allow_it_any_more(endpoint):
    grant = endpoint.grant()
    with endpoint.held(grant) as held:
        held.client.kill()
        eventually(lambda: grant.runs.get().state == "cut", within=3)
        with pytest.raises(AlreadyDecided):
            decide(endpoint, grant.runs.get(), allow=True)
