"""The MariaDB connector keeps the contract."""

import secrets
import socket

import pytest

from broker.demo.ports import free_port
from sessions_app.connectors.mariadb.names import GrantNames
from tests.sessions_app.connectors.contract import *  # noqa: F403  # the contract is these tests
from tests.sessions_app.connectors.contract import Case
from tests.support.servers.mariadb_server import commands


@pytest.fixture
def silent():
    """A port that accepts and says nothing."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


@pytest.fixture
def case(maria, silent):
    def leave(lease) -> None:
        maria.admin(
            f"CREATE USER IF NOT EXISTS {GrantNames(lease.mark).account} ACCOUNT LOCK".replace("%", "%%")
        )

    def foreign():
        name = f"stint_{secrets.token_hex(4)}"
        maria.admin(f"CREATE USER {name} IDENTIFIED BY 'x'")
        maria.admin(f"GRANT SELECT ON shop.orders TO {name}")
        asked = "SELECT Table_priv FROM mysql.tables_priv WHERE User = %s"
        return lambda: maria.admin(asked, name) == [("Select",)]

    return Case(
        maria.connector,
        maria.place(),
        maria.place(port=free_port()),
        maria.place(port=silent),
        commands("SELECT, UPDATE (status) ON shop.orders", "EXECUTE ON FUNCTION shop.total"),
        leave,
        foreign,
    )
