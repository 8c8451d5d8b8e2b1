"""Sessions of a grant whose time is over end without anything that the server does not know."""

import psycopg
import pytest

from tests.support.servers.postgres_server import each_version

pytestmark = each_version


def test_sessions_end_once_the_server_no_longer_admits_the_role_and_go_on_after_an_extension(shop):
    over, extended = shop.give(), shop.give()
    with over.login() as late, extended.login() as other:
        assert shop.connector.expire(over.lease) == 0
        late.execute("SELECT 1")
        shop.admin(f"ALTER ROLE {over.role} VALID UNTIL '2020-01-01'")
        assert shop.connector.expire(over.lease) == 1
        assert shop.connector.expire(extended.lease) == 0
        with pytest.raises(psycopg.OperationalError):
            late.execute("SELECT 1")
        other.execute("SELECT 1")
    assert over.revoke().gone
    assert extended.revoke().gone
