"""What certificate authorities are for."""

import pytest

from sessions_app.queries.authority import GATEWAY_CA, SSH_USER_CA


@pytest.fixture(params=[SSH_USER_CA, GATEWAY_CA])
def purpose(request) -> str:
    return request.param
