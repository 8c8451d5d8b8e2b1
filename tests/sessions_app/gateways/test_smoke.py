"""Each gateway, once: an allowed and a refused attempt, and the end.

The contract measures how soon an end comes.
"""

from collections.abc import Iterator

import pytest

from tests.sessions_app.gateways.contract import ended, revoke
from tests.support.servers.endpoints import Endpoint
from tests.support.servers.every_gateway import ENTRY_POINTS
from tests.support.waits import eventually

pytestmark = pytest.mark.smoke

# A limit for what never ends, far above what any machine needs.
LONG = 120


@pytest.fixture(scope="module", params=ENTRY_POINTS)
def endpoint(request, tmp_path_factory, django_db_setup, django_db_blocker) -> Iterator[Endpoint]:
    with ENTRY_POINTS[request.param](django_db_blocker, tmp_path_factory) as endpoint:
        yield endpoint


def test_what_is_approved_reaches_the_target_and_nothing_else_does(endpoint):
    grant = endpoint.grant()
    answer = endpoint.once(grant)
    assert answer.done, answer.text
    refused = endpoint.outside(grant)
    assert not refused.done
    assert "Nearest: " in refused.text
    assert endpoint.reached(grant) == 1


def test_a_revoke_cuts_what_is_under_way_and_its_end_is_proven(endpoint):
    grant = endpoint.grant()
    with endpoint.lasting(grant) as lasting:
        revoke(grant)
        eventually(lambda: not lasting.lives(), within=LONG)
        assert "has ended: revoked" in lasting.said()
    assert not endpoint.once(grant).done
    eventually(lambda: ended(endpoint, grant), within=LONG)


def test_the_deadline_cuts_what_is_under_way_and_its_end_is_proven(endpoint):
    grant = endpoint.grant(duration=8)
    with endpoint.lasting(grant) as lasting:
        eventually(lambda: not lasting.lives(), within=LONG)
        assert "has ended: expired" in lasting.said()
    eventually(lambda: ended(endpoint, grant), within=LONG)
    assert grant.end_reason == "expired"
