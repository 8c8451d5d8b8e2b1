"""A private PostgreSQL: its own cluster, one Unix socket in a private folder, two roles with passwords.

`stint_owner` owns the database `stint` and its schema, runs migrations, and can create databases. The
processes use `stint_app`, which has SELECT, INSERT, UPDATE and DELETE on each table that the owner creates,
and can't change schemas. The superuser can't log in. Sources: initdb(1), postgres(1), ALTER DEFAULT
PRIVILEGES.
"""

from __future__ import annotations

import json
import secrets
import signal
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote

from broker.embedded.binaries import PostgresBinaries, find_postgres, reachable_postgres
from broker.embedded.cluster import make_cluster
from broker.embedded.errors import EmbeddedError
from broker.embedded.server import PrivateServer
from broker.embedded.state import write_private

OWNER = "stint_owner"
APP = "stint_app"
DATABASE = "stint"

_SETTINGS = {
    "max_connections": "200",
    "shared_buffers": "64MB",
    "max_wal_size": "512MB",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "max_logical_replication_workers": "0",
    "jit": "off",
    "timezone": "UTC",
    "password_encryption": "scram-sha-256",
    # Clients log their own errors; the server's log is only about the server itself.
    "log_min_messages": "log",
    "log_checkpoints": "off",
}

_ROLES = """
CREATE ROLE {owner} LOGIN CREATEDB PASSWORD '{owner_password}';

CREATE ROLE {app} LOGIN PASSWORD '{app_password}';

ALTER DEFAULT PRIVILEGES FOR ROLE {owner} GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO {app};

ALTER DEFAULT PRIVILEGES FOR ROLE {owner} GRANT USAGE, SELECT ON SEQUENCES TO {app};

ALTER DEFAULT PRIVILEGES FOR ROLE {owner} GRANT EXECUTE ON FUNCTIONS TO {app};

CREATE DATABASE {database} OWNER {owner};
"""


class WrongVersionError(EmbeddedError):
    """The cluster in the state folder was created by another major version of PostgreSQL."""


class EmbeddedPostgres(PrivateServer):
    """A private PostgreSQL below `state_dir`, which must exist. `settings` are passed as `-c name=value`."""

    name = "postgres"
    # A fast shutdown closes connections and writes a checkpoint; an immediate one needs recovery at the next
    # start.
    stop_signal = signal.SIGINT
    last_signal = signal.SIGQUIT

    def __init__(self, state_dir: Path, *, settings: Mapping[str, str] | None = None) -> None:
        super().__init__(state_dir)
        self.data = self.folder / "data"
        self._settings = {**_SETTINGS, **(settings or {})}
        self._passwords = state_dir / "postgres_passwords.json"
        self._binaries: PostgresBinaries | None = None

    @property
    def socket(self) -> Path:
        return self.sockets / ".s.PGSQL.5432"

    @property
    def binaries(self) -> PostgresBinaries:
        """The programs in use. Raises `BinaryMissingError`, or `WrongVersionError` if the cluster needs
        another version.
        """
        if self._binaries is None:
            made_by = self._cluster_major()
            found = find_postgres(major=made_by)
            if made_by is not None and made_by != found.major:
                raise WrongVersionError(
                    f"The cluster in {self.data} was created by PostgreSQL {made_by}, but only {found.major}"
                    f" is installed ({found.folder}). Install PostgreSQL {made_by}, or set STINT_POSTGRES_BIN"
                    f" to the folder with its programs. To upgrade, dump it with {made_by} and restore the"
                    " dump into another STINT_STATE_DIR."
                )
            self._binaries = reachable_postgres(found, account=self.account, copies=self.state_dir / "bin")
        return self._binaries

    def url(self, role: str = APP, database: str = DATABASE) -> str:
        """Return the libpq URL of `role` (`stint_owner` or `stint_app`) on `database`, with its password."""
        password = json.loads(self._passwords.read_text(encoding="utf-8"))[role]
        return f"postgresql://{role}:{password}@/{database}?host={quote(str(self.sockets), safe='/')}"

    def is_ready(self) -> bool:
        """Whether the running postmaster has written "ready" to its pid file. pg_ctl also checks this."""
        try:
            lines = (self.data / "postmaster.pid").read_text(encoding="ascii").splitlines()
        except FileNotFoundError:
            return False
        return len(lines) >= 8 and lines[7].strip() == "ready"

    def _program(self) -> list[str]:
        options = [part for name, value in self._settings.items() for part in ("-c", f"{name}={value}")]
        where = ["-D", str(self.data), "-h", "", "-k", str(self.sockets)]
        return [str(self.binaries.postgres), *where, *options]

    def _set_up(self) -> None:
        if not self.data.is_dir():
            self._make_cluster()
        # No postmaster runs while this process has the lock, so these files are stale. Their pid may have
        # been reused.
        for stale in (self.data / "postmaster.pid", self.socket.with_name(f"{self.socket.name}.lock")):
            stale.unlink(missing_ok=True)

    def _cluster_major(self) -> int | None:
        try:
            return int((self.data / "PG_VERSION").read_text(encoding="ascii").strip())
        except FileNotFoundError:
            return None

    def _make_cluster(self) -> None:
        passwords = {role: secrets.token_urlsafe(24) for role in (OWNER, APP)}
        names = {"owner": OWNER, "app": APP, "database": DATABASE}
        sql = _ROLES.format(**names, owner_password=passwords[OWNER], app_password=passwords[APP])
        write_private(self._passwords, json.dumps(passwords))
        # The superuser's password is not stored, so that the superuser can't log in.
        make_cluster(
            self.binaries,
            data=self.data,
            account=self.account,
            superuser="postgres",
            password=secrets.token_urlsafe(24),
            sql=sql,
        )
