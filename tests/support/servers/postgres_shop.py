"""A small shop database on a real PostgreSQL server, set up by the SQL for administrators, and
grants on it.
"""

from __future__ import annotations

import datetime as dt
import secrets
from dataclasses import dataclass, field, replace

import psycopg

from broker.demo.database import HOST
from sessions_app.connectors.base import Credential, GrantSpec, LeaseSpec, TargetSpec
from sessions_app.connectors.postgres.connector import PostgresConnector
from sessions_app.connectors.postgres.names import role_names
from sessions_app.connectors.postgres.parameters import PostgresParameters
from sessions_app.connectors.postgres.setup import target_setup
from sessions_app.policy.commands.kinds import compile_set, parse_document
from sessions_app.policy.scope import TargetFacts
from tests.support.servers.postgres_server import PostgresServer

BROKER = "stint_broker"
TEMPLATE = "reporting_reader"

# A small shop without grants to PUBLIC, and the privileges that the broker may grant.
SHOP = """
CREATE ROLE reporting_reader NOLOGIN;
CREATE DATABASE shop;
CREATE DATABASE other;
"""
TABLES = """
CREATE SCHEMA app;
CREATE TABLE app.orders (id int PRIMARY KEY, status text, "Odd ""Name" int, note text);
CREATE TABLE app.invoices (LIKE app.orders);
CREATE TABLE app."Weird; DROP TABLE x" (id int);
CREATE SCHEMA stats;
CREATE TABLE stats.reports (id int);
CREATE SEQUENCE app.numbers;
CREATE TYPE app.mood AS ENUM ('good', 'bad');
CREATE FUNCTION app.close(int) RETURNS int LANGUAGE sql AS 'SELECT 1';
CREATE FUNCTION app.close(int, text[], app.mood, timestamptz, "char") RETURNS int LANGUAGE sql AS 'SELECT 2';
CREATE PROCEDURE app.tidy() LANGUAGE sql AS 'SELECT 3';
INSERT INTO app.orders VALUES (1, 'open', 1, 'x'), (2, 'open', 2, 'y');
REVOKE EXECUTE ON ALL ROUTINES IN SCHEMA app FROM PUBLIC;
GRANT USAGE ON SCHEMA stats TO reporting_reader;
GRANT SELECT ON stats.reports TO reporting_reader;
GRANT USAGE ON SCHEMA app TO stint_broker WITH GRANT OPTION;
GRANT ALL ON ALL TABLES IN SCHEMA app TO stint_broker WITH GRANT OPTION;
GRANT ALL ON ALL SEQUENCES IN SCHEMA app TO stint_broker WITH GRANT OPTION;
GRANT EXECUTE ON ALL ROUTINES IN SCHEMA app TO stint_broker WITH GRANT OPTION;
"""


@dataclass
class Shop:
    """A server with a shop on it, and the broker's connection to it."""

    server: PostgresServer
    broker_password: str = field(default_factory=lambda: secrets.token_urlsafe(16))
    connector: PostgresConnector = field(default_factory=PostgresConnector)

    @property
    def major(self) -> int:
        return self.server.major

    @property
    def target(self) -> TargetFacts:
        return TargetFacts(id=1, name="db-1", address=HOST, port=self.server.port, account="", host_key="")

    def place(self, *, port: int | None = None, **changes) -> TargetSpec:
        tls = (
            {"sslmode": "verify-full", "sslrootcert": self.server.authority}
            if self.server.authority
            else {"sslmode": "prefer"}
        )
        parameters = {"user": BROKER, "password": self.broker_password, "database": "shop", **tls, **changes}
        return TargetSpec(
            cluster="shop",
            target=replace(self.target, port=port or self.server.port),
            parameters=PostgresParameters.model_validate(parameters),
        )

    def spec(
        self,
        *grants: str,
        mark: str | None = None,
        seconds: float = 3600,
        place: TargetSpec | None = None,
        **values,
    ) -> GrantSpec:
        return GrantSpec(
            grant_ref="GR-TEST",
            mark=mark or secrets.token_hex(16),
            holder="alice",
            place=place or self.place(),
            commands=commands(*(grants or ("SELECT ON app.orders",)), **values),
            expires_at=dt.datetime.now(dt.UTC) + dt.timedelta(seconds=seconds),
        )

    def give(self, *grants: str, **about) -> Given:
        """Return a grant that is provisioned and has its credential."""
        spec = self.spec(*grants, **about)
        lease = self.connector.provision(spec)
        return Given(self, spec, lease, self.connector.issue(spec, lease))

    def admin(self, sql: str, *values, database: str = "shop") -> list[tuple]:
        with self.server.admin(database) as admin:
            found = admin.execute(sql, values or None)
            return found.fetchall() if found.description else []

    def one(self, sql: str, *values, database: str = "shop") -> object:
        """Return the only value of the only row."""
        ((value,),) = self.admin(sql, *values, database=database)
        return value

    def intact(self, spec: GrantSpec) -> bool | None:
        """Whether a grant's objects are as they should be; None if there are none."""
        seen = [one.intact for one in self.connector.observe(spec.place) if one.mark == spec.mark]
        return seen[0] if seen else None


@dataclass
class Given:
    """A grant and its holder's connection."""

    shop: Shop
    spec: GrantSpec
    lease: LeaseSpec
    credential: Credential

    @property
    def role(self) -> str:
        return role_names(self.spec.mark).login

    @property
    def password(self) -> str:
        return self.credential.fields["Password"]

    def login(self, database: str = "shop", **changes) -> psycopg.Connection:
        return self.shop.server.login(self.role, changes.pop("password", self.password), database, **changes)

    def run(self, *statements: str, database: str = "shop") -> None:
        """Run statements in the holder's own session."""
        with self.login(database) as session:
            for statement in statements:
                session.execute(statement)

    def revoke(self):
        return self.shop.connector.revoke(self.lease)


def commands(*grants: str, parameters: dict | None = None, **values: str):
    """Return a compiled set that grants these lines."""
    document = parse_document(
        {
            "name": "repair",
            "kind": "postgres",
            "summary": "Repair",
            "risk": "low",
            "parameters": parameters or {},
            "commands": [{"grant": grant, "effect": "change"} for grant in grants],
        }
    )
    return compile_set(document, values)


def set_up(server: PostgresServer) -> Shop:
    shop = Shop(server)
    with server.admin() as admin:
        for statement in SHOP.strip().splitlines():
            admin.execute(statement)
        setup = target_setup(broker=BROKER, templates=[TEMPLATE], read_statements=True)
        admin.execute(setup)
        admin.execute(setup)
        admin.execute(psycopg.sql.SQL("ALTER ROLE stint_broker PASSWORD {}").format(shop.broker_password))
    with server.admin("shop") as admin:
        admin.execute(TABLES)
    return shop
