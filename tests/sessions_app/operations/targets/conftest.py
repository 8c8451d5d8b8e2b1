"""What keys that all gateways share are for."""

import pytest

from sessions_app.queries.gateways.keys import GATEWAY_CA, SSH_HOST_KEY, SSH_USER_CA


@pytest.fixture(params=[SSH_USER_CA, SSH_HOST_KEY, GATEWAY_CA])
def purpose(request) -> str:
    return request.param
