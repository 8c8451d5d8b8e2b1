"""A PostgreSQL server as a demo target.

It has its own folder, listens on loopback, requires a password, and is set up in the way an administrator
would do it.
"""

from __future__ import annotations

import secrets
import shutil
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psycopg

from broker.demo.ports import free_port
from broker.embedded.binaries import PostgresBinaries, find_postgres, reachable_postgres
from broker.embedded.cluster import make_cluster
from broker.embedded.errors import EmbeddedError
from broker.embedded.server import PrivateServer

SUPERUSER = "admin"
HOST = "127.0.0.1"
BROKER = "stint_broker"
DATABASE = "shop"
_SETTINGS = {
    "max_connections": "50",
    "shared_buffers": "32MB",
    "fsync": "off",
    "jit": "off",
    "timezone": "UTC",
}
_TABLES = """
CREATE SCHEMA app;
CREATE TABLE app.orders (id int PRIMARY KEY, customer text, state text);
INSERT INTO app.orders SELECT n, 'customer ' || n, 'open' FROM generate_series(1, 1000) AS n;
CREATE TABLE app.cards (id int PRIMARY KEY, number text);
GRANT USAGE ON SCHEMA app TO stint_broker WITH GRANT OPTION;
GRANT SELECT, UPDATE ON app.orders TO stint_broker WITH GRANT OPTION;
"""


class NoPsql(EmbeddedError):
    """The program `psql` is not installed."""


class TargetServer(PrivateServer):
    """A server below ``state_dir``, with a superuser whose password is known. ``major``: the version of
    PostgreSQL; None: the newest.
    """

    name = "postgres"
    stop_signal = signal.SIGINT
    last_signal = signal.SIGQUIT

    def __init__(
        self, state_dir: Path, *, major: int | None = None, settings: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(state_dir)
        self.port = free_port()
        self.data = self.folder / "data"
        self.password = secrets.token_urlsafe(16)
        self._settings = {**_SETTINGS, **(settings or {})}
        self._major = major
        self._found: PostgresBinaries | None = None

    @property
    def socket(self) -> Path:
        return self.sockets / f".s.PGSQL.{self.port}"

    @property
    def binaries(self) -> PostgresBinaries:
        """The programs in use. Raises `BinaryMissingError`."""
        if self._found is None:
            found = find_postgres(major=self._major)
            self._found = reachable_postgres(found, account=self.account, copies=self.state_dir / "bin")
        return self._found

    def admin(self, database: str = "postgres") -> psycopg.Connection:
        """Return an autocommit connection of the superuser."""
        return self.login(SUPERUSER, self.password, database)

    def login(
        self, user: str, password: str, database: str = "postgres", **changes: Any
    ) -> psycopg.Connection:
        """Return an autocommit connection of a role."""
        return psycopg.connect(
            host=HOST,
            port=self.port,
            user=user,
            password=password,
            dbname=database,
            autocommit=True,
            connect_timeout=10,
            **changes,
        )

    def is_ready(self) -> bool:
        """Whether the server accepts connections."""
        try:
            lines = (self.data / "postmaster.pid").read_text(encoding="ascii").splitlines()
        except FileNotFoundError:
            return False
        return len(lines) >= 8 and lines[7].strip() == "ready"

    def _program(self) -> list[str]:
        options = [part for name, value in self._settings.items() for part in ("-c", f"{name}={value}")]
        where = ["-D", str(self.data), "-h", HOST, "-p", str(self.port), "-k", str(self.sockets)]
        return [str(self.binaries.postgres), *where, *options]

    def _set_up(self) -> None:
        if not self.data.is_dir():
            make_cluster(
                self.binaries,
                data=self.data,
                account=self.account,
                superuser=SUPERUSER,
                password=self.password,
            )


class ShopDatabase(TargetServer):
    """The demo's database: a shop with a table of orders, to which Stint can grant access, and a table of
    cards, to which it can't.
    """

    def __init__(self, state_dir: Path) -> None:
        state_dir.mkdir(mode=0o711)
        super().__init__(state_dir)
        self.broker_password = secrets.token_urlsafe(16)

    def fill(self, setup: str) -> None:
        """Create the broker's role with the SQL for administrators, and create the shop."""
        with self.admin() as connection:
            connection.execute(setup)
            connection.execute(f"ALTER ROLE {BROKER} PASSWORD '{self.broker_password}'")
            connection.execute(f"CREATE DATABASE {DATABASE}")
        with self.admin(DATABASE) as connection:
            connection.execute(_TABLES)

    @property
    def psql(self) -> Path:
        """The path of `psql`, from the server's folder or the PATH. Raises NoPsql."""
        beside, system = self.binaries.folder / "psql", shutil.which("psql")
        if beside.is_file():
            return beside
        if system is None:
            raise NoPsql("psql was not found. Install Debian's `postgresql-client`.")
        return Path(system)

    def roles(self) -> list[str]:
        """Return the roles of grants that exist on the server."""
        with self.admin() as connection:
            rows = connection.execute(
                "SELECT rolname FROM pg_roles WHERE rolname LIKE 'stint\\_%%' AND rolname NOT IN (%s,"
                " 'stint_kept')",
                [BROKER],
            )
            return [str(name) for (name,) in rows]
