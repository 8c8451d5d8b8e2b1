"""A real MariaDB server as a target of tests: on loopback, with TLS, and with a small shop on it that is set
up by the SQL for administrators.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import os
import secrets
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import pymysql

from broker.demo.database import HOST
from broker.demo.ports import free_port
from sessions_app.connectors.base import Credential, GrantSpec, LeaseSpec, TargetSpec
from sessions_app.connectors.mariadb.connector import MariaDBConnector
from sessions_app.connectors.mariadb.names import GrantNames
from sessions_app.connectors.mariadb.parameters import MariaDBParameters
from sessions_app.connectors.mariadb.setup import target_setup
from sessions_app.policy.commands.kinds import compile_set, parse_document
from sessions_app.policy.scope import TargetFacts
from tests.support.servers.postgres_server import self_signed
from tests.support.waits import PATIENCE

BROKER = "stint_broker"
_SETTINGS = (
    "--bind-address=127.0.0.1",
    "--skip-name-resolve",
    "--innodb-buffer-pool-size=16M",
    "--innodb-log-file-size=8M",
    "--innodb-flush-log-at-trx-commit=0",
    "--performance-schema=OFF",
)
_SHOP = """
CREATE DATABASE shop;
CREATE DATABASE other;
CREATE TABLE shop.orders (id INT PRIMARY KEY, status VARCHAR(20), note TEXT) ENGINE=InnoDB;
CREATE TABLE shop.invoices LIKE shop.orders;
CREATE TABLE shop.`Weird; DROP TABLE x` (id INT);
CREATE TABLE other.orders LIKE shop.orders;
INSERT INTO shop.orders VALUES (1, 'open', 'x'), (2, 'open', 'y');
CREATE FUNCTION shop.total() RETURNS INT DETERMINISTIC RETURN 42;
"""
EVERYTHING = (
    "SELECT, INSERT, UPDATE, DELETE ON shop.orders",
    "SELECT, INSERT, UPDATE, DELETE ON shop.invoices",
    "SELECT ON shop.`Weird; DROP TABLE x`",
    "EXECUTE ON FUNCTION shop.total",
)


def commands(*grants: str, **values: str):
    """Compile a command set of these privileges, with its values."""
    document = {
        "name": "a-set",
        "kind": "mariadb",
        "summary": "s",
        "risk": "low",
        "parameters": {name: {"name": 64} for name in values},
        "commands": [{"grant": one, "effect": "change"} for one in grants],
    }
    return compile_set(parse_document(document), values)


@dataclass
class MariaDBServer:
    """A server below ``folder``, whose administrator is root over the socket."""

    folder: Path
    port: int = field(default_factory=free_port)
    broker_password: str = field(default_factory=lambda: secrets.token_urlsafe(24))
    connector: MariaDBConnector = field(default_factory=MariaDBConnector)
    authority: str = ""

    @contextlib.contextmanager
    def running(self) -> Iterator[MariaDBServer]:
        """Create the server, start it, set it up, and stop it at the end."""
        self._create()
        process = subprocess.Popen(self._command(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            self._wait()
            self._set_up()
            yield self
        finally:
            process.terminate()
            process.wait(PATIENCE)

    @property
    def _as_root(self) -> list[str]:
        return ["--user=root"] if os.geteuid() == 0 else []

    def _create(self) -> None:
        key, self.authority = self_signed(HOST)
        for name, text in (("key.pem", key), ("cert.pem", self.authority)):
            (self.folder / name).write_text(text)
            (self.folder / name).chmod(0o600)
        install = ["mariadb-install-db", "--no-defaults", f"--datadir={self.folder}/data", "--skip-test-db"]
        method = ["--auth-root-authentication-method=normal", "--innodb-log-file-size=8M"]
        subprocess.run([*install, *method, *self._as_root], check=True, capture_output=True)

    def _command(self) -> list[str]:
        paths = [f"--datadir={self.folder}/data", f"--socket={self.folder}/socket", f"--port={self.port}"]
        tls = [f"--ssl-cert={self.folder}/cert.pem", f"--ssl-key={self.folder}/key.pem"]
        return ["mariadbd", "--no-defaults", *paths, *tls, *_SETTINGS, *self._as_root]

    def _wait(self) -> None:
        until = time.monotonic() + PATIENCE
        while True:
            try:
                self.admin("SELECT 1")
            except pymysql.OperationalError:
                if time.monotonic() > until:
                    raise
                time.sleep(0.05)
            else:
                return

    def _set_up(self) -> None:
        self.script(_SHOP)
        privileges = commands(*EVERYTHING).privileges()
        self.script(target_setup(user=BROKER, privileges=privileges))
        self.admin(
            f"ALTER USER '{BROKER}'@'%%' IDENTIFIED BY %s REQUIRE SSL ACCOUNT UNLOCK", self.broker_password
        )

    @property
    def as_root(self) -> str:
        """The client's options for an administrator."""
        return f"--socket={self.folder}/socket --user=root"

    def script(self, text: str) -> None:
        """Run a script with the client, as an administrator does."""
        client = ["mariadb", "--no-defaults", *self.as_root.split()]
        subprocess.run(client, input=text, text=True, check=True, capture_output=True)

    def admin(self, sql: str, *values: object) -> list[tuple]:
        """Run a statement as root, and return its rows."""
        with (
            contextlib.closing(
                pymysql.connect(unix_socket=f"{self.folder}/socket", user="root", autocommit=True)
            ) as connection,
            connection.cursor() as cursor,
        ):
            cursor.execute(sql, values)
            return list(cursor.fetchall())

    def one(self, sql: str, *values: object) -> object:
        """Return the only value of the only row."""
        ((value,),) = self.admin(sql, *values)
        return value

    @property
    def target(self) -> TargetFacts:
        return TargetFacts(id=1, name="db-1", address=HOST, port=self.port, account="", host_key="")

    def place(self, *, port: int | None = None, **changes) -> TargetSpec:
        parameters = {"user": BROKER, "password": self.broker_password, "ca": self.authority, **changes}
        return TargetSpec(
            cluster="shop",
            target=replace(self.target, port=port or self.port),
            parameters=MariaDBParameters.model_validate(parameters),
        )

    def spec(
        self, *grants: str, mark: str | None = None, seconds: float = 3600, place: TargetSpec | None = None
    ) -> GrantSpec:
        return GrantSpec(
            grant_ref="GR-TEST",
            mark=mark or secrets.token_hex(16),
            holder="alice",
            place=place or self.place(),
            commands=commands(*(grants or ("SELECT ON shop.orders",))),
            expires_at=dt.datetime.now(dt.UTC) + dt.timedelta(seconds=seconds),
        )

    def give(self, *grants: str, **about) -> Given:
        """Return a grant that is provisioned and has its credential."""
        spec = self.spec(*grants, **about)
        lease = self.connector.provision(spec)
        return Given(self, spec, lease, self.connector.issue(spec, lease))

    def intact(self, lease: LeaseSpec) -> bool | None:
        """Whether a grant's objects are as they should be; None if there are none."""
        seen = [one for one in self.connector.observe(lease.place) if one.mark == lease.mark]
        return seen[0].intact if seen else None


@dataclass
class Given:
    """A grant that its holder can use."""

    server: MariaDBServer
    spec: GrantSpec
    lease: LeaseSpec
    credential: Credential

    @property
    def user(self) -> str:
        return GrantNames(self.lease.mark).user

    def login(self) -> contextlib.closing:
        """Log in as its holder, over TLS."""
        return contextlib.closing(
            pymysql.connect(
                host=HOST,
                port=self.server.port,
                user=self.user,
                password=self.credential.fields["Password"],
                ssl=self.server.place().parameters.context(),
                autocommit=True,
            )
        )

    def run(self, sql: str) -> list[tuple]:
        """Run a statement in a new session, and return its rows."""
        with self.login() as connection, connection.cursor() as cursor:
            cursor.execute(sql)
            return list(cursor.fetchall())

    def revoke(self):
        return self.server.connector.revoke(self.lease)
