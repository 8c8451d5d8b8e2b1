"""The PostgreSQL gateway as a process, with a real server behind it, in its own database."""

import contextlib
import functools
import json
import os
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
import yaml

from broker.demo.ports import free_port
from broker.embedded.state import temporary_state_dir
from sessions_app.connectors.postgres.names import role_names
from tests.conftest import fresh_database
from tests.support.pace import unhurried
from tests.support.servers.kubernetes_place import accepted
from tests.support.servers.postgres_server import PostgresServer, majors
from tests.support.servers.postgres_shop import Shop, set_up
from tests.support.servers.running import Running, start
from tests.support.waits import eventually
from tests.support.world.world import World, make_world

COMMAND_SET = """
name: fix-orders
kind: postgres
summary: Fix orders
risk: high
schema: app
commands:
  - sql: UPDATE app.orders SET status = {status} WHERE id = {id}
    where: {id: {int: [1, 9]}, status: {choice: [open, paid, closed]}}
    effect: change
  - sql: UPDATE app.orders SET status = {status} WHERE id < {id} RETURNING id
    where: {id: {int: [1, 9]}, status: {choice: [open, paid, closed]}}
    effect: change
    max_rows: 2
  - sql: UPDATE app.orders SET note = {note} WHERE id = {id}
    where: {id: {int: [1, 9]}, note: {pattern: "[a-z ]{1,40}"}}
    effect: change
    hold: true
  - sql: INSERT INTO app.orders (id, status) VALUES ({id}, {status})
    where: {id: {int: [1, 9]}, status: {choice: [open, paid, closed]}}
    effect: change
  - sql: UPDATE app.orders SET note = {note} WHERE status = {status} RETURNING id, note
    where: {status: {choice: [open, paid, closed]}, note: {pattern: "[a-z ]{1,40}"}}
    effect: change
    hold: true
    explain: true
    max_rows: 2
  - sql: INSERT INTO app.bills (id, note) VALUES ({id}, {note})
    where: {id: {int: [1, 99]}, note: {pattern: "[a-z ]{1,40}"}}
    effect: change
    hold: true
  - sql: DELETE FROM app.bills WHERE id < {id}
    where: {id: {int: [1, 99]}}
    effect: destructive
    hold: true
  - call: CALL app.commits()
    effect: change
  - sql: DELETE FROM app.orders WHERE id = {id}
    where: {id: {int: [1, 9]}}
    effect: destructive
  - sql: SELECT id FROM app.bills WHERE id < {id}
    where: {id: {int: [1, 99]}}
    effect: read
    max_rows: 5
  - select: {tables: [app.orders], columns: [id, status, note], where: required}
    effect: read
  - select: {tables: [app.many], columns: [id, text]}
    effect: read
  - call: app.wait({tag}::integer)
    where: {tag: {int: [1, 9999999]}}
    effect: change
  - call: app.work({tag}::integer)
    where: {tag: {int: [1, 9999999]}}
    effect: change
    end: {finish: 10s}
"""
# A command set with a secret value, which makes it hide refused values as well.
WITH_SECRET = """
name: set-notes
kind: postgres
summary: Set secret notes
risk: high
schema: app
commands:
  - sql: UPDATE app.orders SET note = {note} WHERE id = {id} RETURNING id, note
    where: {id: {int: [1, 9]}, note: {pattern: "[a-z]{4,40}"}}
    secret: [note]
    effect: change
  - sql: UPDATE app.orders SET note = {note} WHERE id < {id}
    where: {id: {int: [1, 9]}, note: {pattern: "[a-z]{4,40}"}}
    secret: [note]
    hold: true
    effect: change
"""
# Every change of an order is noted, with the role that made it.
TABLES = """
CREATE TABLE app.seen (who name, id int);
CREATE FUNCTION app.note() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS
$$BEGIN INSERT INTO app.seen VALUES (session_user, coalesce(NEW.id, OLD.id));
RETURN coalesce(NEW, OLD); END$$;
CREATE TRIGGER note BEFORE INSERT OR UPDATE OR DELETE ON app.orders FOR EACH ROW EXECUTE FUNCTION app.note();
CREATE FUNCTION app.wait(tag int) RETURNS int LANGUAGE plpgsql AS
$$BEGIN PERFORM pg_catalog.pg_sleep(600); RETURN tag; END$$;
CREATE FUNCTION app.work(seconds int) RETURNS int LANGUAGE plpgsql AS
$$BEGIN PERFORM pg_catalog.pg_sleep(seconds); RETURN seconds; END$$;
CREATE TABLE app.many AS SELECT n AS id, pg_catalog.repeat('x', 1000) AS text
  FROM pg_catalog.generate_series(1, 200000) AS n;
INSERT INTO app.orders VALUES (3, 'open', 3, 'z');
CREATE TABLE app.bills (id int UNIQUE DEFERRABLE INITIALLY DEFERRED, note text);
CREATE PROCEDURE app.commits() LANGUAGE plpgsql AS $$BEGIN COMMIT; END$$;
REVOKE EXECUTE ON ALL ROUTINES IN SCHEMA app FROM PUBLIC;
GRANT ALL ON ALL TABLES IN SCHEMA app TO stint_broker WITH GRANT OPTION;
GRANT EXECUTE ON ALL ROUTINES IN SCHEMA app TO stint_broker WITH GRANT OPTION;
"""


@dataclass
class Place(Running):
    """The running gateway and the server behind it."""

    world: World
    shop: Shop
    folder: Path
    env: dict[str, str]
    port: int
    gateway: subprocess.Popen[bytes] | None = None
    tokens: dict[int, dict[str, str]] = field(default_factory=dict)

    @property
    def log(self) -> Path:
        return self.folder / "gateway.log"

    def grant(self, **changes: Any) -> Any:
        """Return a grant of alice whose role is on the server. A short `duration` grows on a busy machine."""
        from broker.kernel import clock
        from sessions_app.models import Sweeper

        Sweeper.objects.update(seen_at=clock.now())
        asked = {"cluster": "shop", "command_set": "fix-orders", "parameters": {}, "policy": "shop-work"}
        return self.made(self.world.grant(now=clock.now(), **{**asked, **unhurried(changes)}))

    def delegated(self, above: Any, identity: str = "deployer") -> Any:
        """Return a grant of a machine with all of another grant's access."""
        from broker.kernel import clock
        from sessions_app.operations.grants.delegate_grant import Part, delegate_grant

        command_set = above.command_set_version.command_set.name
        part = Part(identity=identity, command_set=command_set, parameters={})
        actor = above.holder
        return self.made(delegate_grant(grant_id=above.pk, actor=actor, part=part, now=clock.now()))

    def made(self, grant: Any) -> Any:
        """Return a grant once its role is on the server."""
        from broker.kernel import clock
        from sessions_app.operations.grants.prepare_grant import prepare_grant
        from sessions_app.operations.grants.provision_grant import provision_grant

        if grant.state == "scheduled":
            provision_grant(grant_id=grant.pk, now=clock.now())

        def is_made() -> bool:
            # Like the worker: retry if the gateway's own sweep has the grant at this moment.
            prepare_grant(grant_id=grant.pk, now=clock.now)
            grant.refresh_from_db()
            return grant.state not in ("scheduled", "provisioning")

        eventually(is_made, within=20)
        assert grant.state == "active", (grant.state, grant.end_reason, grant.last_error)
        self.values(grant), self.authority
        return grant

    def values(self, grant: Any) -> dict[str, str]:
        """Return the values of a grant's credential."""
        from broker.kernel import clock
        from sessions_app.operations.grants.issue_credential import issue_credential

        if grant.pk not in self.tokens:
            actor = grant.holder if grant.holder.kind == "person" else grant.holder.owner
            made = issue_credential(grant_id=grant.pk, actor=actor, target=None, now=clock.now())
            self.tokens[grant.pk] = dict(made.fields)
        return self.tokens[grant.pk]

    @functools.cached_property
    def authority(self) -> Path:
        """A file with the certificate of the gateway's authority, read from the database on first use."""
        from sessions_app.queries.gateways.keys import gateway_bundle

        path = self.folder / "stint-ca.pem"
        path.write_text(gateway_bundle())
        return path

    def parameters(self, grant: Any, **changes: Any) -> dict[str, Any]:
        """Return libpq's parameters for a grant."""
        values = self.tokens[grant.pk]
        return {
            "host": "localhost",
            "hostaddr": "127.0.0.1",
            "port": self.port,
            "user": values["Username"],
            "password": values["Password"],
            "dbname": values["Database"],
            "sslmode": "verify-full",
            "sslrootcert": str(self.authority),
            "gssencmode": "disable",
            "connect_timeout": 60,
            **changes,
        }

    def connect(self, grant: Any, **changes: Any) -> psycopg.Connection[Any]:
        """Log in as a program does."""
        return psycopg.connect(**{"autocommit": True, **self.parameters(grant, **changes)})

    def psql(
        self, grant: Any, *words: str, stdin: str = "", timeout: float = 60, **changes: Any
    ) -> subprocess.CompletedProcess[str]:
        """Run psql."""
        said = self.parameters(grant, **changes)
        names = {"dbname": "database", "hostaddr": "hostaddr", "gssencmode": "gssencmode"}
        env = {f"PG{names.get(name, name).upper()}": str(value) for name, value in said.items()}
        return subprocess.run(
            ["psql", "-X", "-v", "ON_ERROR_STOP=1", *words],
            env={"PATH": os.environ["PATH"], **env},
            input=stdin,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    def role(self, grant: Any) -> str:
        """Return the grant's role on the server."""
        return role_names(grant.mark).login

    def active(self, grant: Any) -> int:
        """Return how many statements of a grant run on the server."""
        return int(
            self.shop.one(  # type: ignore[call-overload]
                "SELECT count(*) FROM pg_stat_activity WHERE usename = %s AND state = 'active'",
                self.role(grant),
            )
        )

    def start(self, *program: str, **env: str) -> None:
        """Start the gateway, as a command of `manage.py` or another program, and wait until it answers."""
        with self.log.open("ab") as log:
            self.gateway = start(
                *(program or ["manage.py"]),
                "gateway",
                "--protocols",
                "postgres",
                "--postgres-port",
                str(self.port),
                "--name",
                "tested",
                env={**self.env, **env},
                stderr=log,
            )
        eventually(self._answers, within=30)

    def _answers(self) -> bool:
        assert self.gateway is not None
        assert self.gateway.poll() is None, self.log.read_text()
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=1):
            return True
        return False


def _files(shop: Shop, commands: str) -> dict[str, str]:
    tls = (
        {"sslmode": "verify-full", "sslrootcert": shop.server.authority}
        if shop.server.authority
        else {"sslmode": "prefer"}
    )
    cluster = {
        "name": "shop",
        "kind": "postgres",
        "environment": "production",
        "risk": "high",
        "connection": {"database": "shop", "password": shop.broker_password, "connection_limit": 20, **tls},
        "targets": [{"name": "db-1", "address": "127.0.0.1", "port": shop.server.port}],
    }
    policy = {
        "name": "shop-work",
        "summary": "Planned work",
        "clusters": ["shop"],
        "command_sets": ["fix-orders", "set-notes"],
        "requesters": {"groups": ["operators"]},
        "approvals": [{"count": 1, "from": ["approvers"]}],
        "max_duration": "4h",
        "extension": {"times": 2, "by": "1h", "approvals": "none"},
    }
    return {
        "command-sets/fix-orders.yaml": accepted(COMMAND_SET + commands),
        "command-sets/set-notes.yaml": accepted(WITH_SECRET),
        "clusters/shop.yaml": yaml.safe_dump(cluster),
        "policies/shop-work.yaml": json.dumps(policy),
    }


@contextlib.contextmanager
def postgres_place(
    blocker: Any,
    folder: Path,
    *,
    major: int = 0,
    change: Callable[[dict[str, str]], dict[str, str]] = dict,
    settings: dict[str, str] | None = None,
) -> Iterator[Place]:
    """Run a server and the gateway in front of it in a new database until the block ends.

    ``major`` is the server's version, by default the newest. ``change`` changes the gateway's environment.
    ``settings`` are more of the server's settings.
    """
    from broker.kernel import clock

    with (
        fresh_database(blocker) as database,
        temporary_state_dir("stint-pg-") as state,
        PostgresServer(state, major or majors()[-1], settings) as server,
    ):
        clock.sync()
        with gateway_before(server, make_world(clock.now()), change(database.env), folder) as place:
            yield place


@contextlib.contextmanager
def gateway_before(
    server: PostgresServer,
    world: World,
    env: dict[str, str],
    folder: Path,
    *,
    tables: str = "",
    commands: str = "",
) -> Iterator[Place]:
    """Run the gateway in front of a server, with a shop on it, in the current database until the block ends.

    ``tables`` is SQL that adds to the shop, and ``commands`` are YAML that adds to the command set.
    """
    from broker.kernel import clock

    shop, port = set_up(server), free_port()
    shop.admin(tables + TABLES)
    world.catalog.update(_files(shop, commands))
    world.apply(now=clock.now())
    state = folder / "state"
    state.mkdir(mode=0o700, exist_ok=True)
    own = {"STINT_GATEWAY_PUBLIC_URL": f"https://localhost:{port}", "STINT_STATE_DIR": str(state)}
    place = Place(world, shop, folder, {**env, **own}, port)
    try:
        place.start()
        yield place
    finally:
        place.stop(signal.SIGTERM)
    assert "Traceback" not in place.log.read_text(), place.log.read_text()
