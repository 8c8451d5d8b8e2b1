"""The PostgreSQL connector keeps the contract, on both versions."""

import secrets
import socket

import pytest

from broker.demo.ports import free_port
from sessions_app.connectors.postgres.names import role_names
from tests.sessions_app.connectors.contract import *  # noqa: F403  # the contract is these tests
from tests.sessions_app.connectors.contract import Case
from tests.support.servers.postgres_server import each_version
from tests.support.servers.postgres_shop import commands

pytestmark = each_version


@pytest.fixture
def silent():
    """A port that accepts and says nothing."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


@pytest.fixture
def case(shop, silent):
    def leave(lease) -> None:
        names = role_names(lease.mark)
        if not shop.admin("SELECT 1 FROM pg_roles WHERE rolname = %s", names.login):
            with shop.server.login("stint_broker", shop.broker_password) as broker:
                broker.execute(f"CREATE ROLE {names.login} LOGIN")

    def foreign():
        name = f"stint_{secrets.token_hex(4)}"
        shop.admin(f"CREATE ROLE {name} LOGIN CONNECTION LIMIT 7; GRANT SELECT ON app.orders TO {name}")
        shop.admin(f"CREATE TABLE app.{name} (); ALTER TABLE app.{name} OWNER TO {name}")
        asked = (
            "SELECT rolconnlimit, rolcanlogin, has_table_privilege(r.oid, 'app.orders', 'SELECT'), (SELECT"
            " relowner = r.oid FROM pg_class WHERE relname = rolname) FROM pg_roles r WHERE rolname = %s"
        )
        return lambda: shop.admin(asked, name) == [(7, True, True, True)]

    allowed = commands("SELECT ON app.orders", "ROLE reporting_reader")
    return Case(
        shop.connector,
        shop.place(),
        shop.place(port=free_port()),
        shop.place(port=silent),
        allowed,
        leave,
        foreign,
    )
