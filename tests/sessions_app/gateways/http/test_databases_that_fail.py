"""A database that is down, comes back, or hangs: nothing passes meanwhile, and everything works
afterwards.
"""

import time

import pytest
from django.db import connection

from tests.support.pace import allow


@pytest.fixture
def world(live_world):
    return live_world


def test_a_database_that_is_gone_lets_nothing_pass(endpoint, token):
    assert endpoint.nginx(token).status == 200
    endpoint.flush()
    port, connection.settings_dict["PORT"] = connection.settings_dict["PORT"], "1"
    host, connection.settings_dict["HOST"] = connection.settings_dict["HOST"], "127.0.0.1"
    connection.close()
    try:
        answer = endpoint.nginx(token)
        assert answer.status == 503
        assert "retry-after" in answer.headers
    finally:
        connection.settings_dict.update(PORT=port, HOST=host)
        connection.close()
    assert endpoint.nginx(token).status == 200
    endpoint.flush()


@pytest.mark.timing
def test_a_database_that_does_not_answer_is_not_waited_for(endpoint, token, owner_connection):
    assert endpoint.nginx(token).status == 200
    endpoint.flush()
    with owner_connection.transaction():
        owner_connection.execute("LOCK TABLE sessions_app_grantcredential IN ACCESS EXCLUSIVE MODE")
        began = time.monotonic()
        assert endpoint.nginx(token).status == 503
        assert time.monotonic() - began < allow(6)
    assert endpoint.nginx(token).status == 200
    endpoint.flush()
