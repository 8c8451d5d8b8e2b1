"""Stint's own PostgreSQL as in production: a primary with a synchronous standby.

Sources: PostgreSQL's documentation, "High Availability" (streaming and synchronous replication, pg_promote),
pg_basebackup(1).
"""

import contextlib
import os
import secrets
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

from broker.demo.database import HOST, SUPERUSER, TargetServer
from broker.embedded.account import give
from broker.embedded.server import plain_env
from tests.support.waits import eventually

_SETTINGS = {
    "max_connections": "400",
    "shared_buffers": "64MB",
    "wal_level": "replica",
    "max_wal_senders": "8",
    "hot_standby": "on",
    # A killed process loses no data that the kernel already has.
    "fsync": "off",
    "synchronous_commit": "on",
    "wal_receiver_status_interval": "1s",
    "log_min_messages": "log",
}
_SQL = """
CREATE ROLE stint_owner LOGIN CREATEDB PASSWORD '{password}';
CREATE ROLE stint_app LOGIN PASSWORD '{password}';
CREATE DATABASE stint OWNER stint_owner
"""
_PRIVILEGES = """
ALTER DEFAULT PRIVILEGES FOR ROLE stint_owner GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO stint_app;
ALTER DEFAULT PRIVILEGES FOR ROLE stint_owner GRANT USAGE, SELECT ON SEQUENCES TO stint_app;
"""
_STREAMS = "SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming' AND sync_state = 'sync'"


class Server(TargetServer):
    """One of the two. Its primary identifies it by ``name``."""

    def __init__(self, state_dir: Path, name: str, password: str) -> None:
        state_dir.mkdir(mode=0o711)
        super().__init__(state_dir, settings=_SETTINGS)
        self.standby_name, self.password = name, password

    def copy(self, primary: "Server") -> None:
        """Become a standby of another server, as its copy."""
        shutil.rmtree(self.data, ignore_errors=True)
        self.folder.mkdir(mode=0o700, exist_ok=True)
        source = (
            f"host={HOST} port={primary.port} user={SUPERUSER} password={self.password} "
            f"application_name={self.standby_name}"
        )
        program = self.binaries.folder / "pg_basebackup"
        subprocess.run(
            [
                str(program),
                "-D",
                str(self.data),
                "-R",
                "-X",
                "stream",
                "-c",
                "fast",
                "--no-sync",
                "-d",
                source,
            ],
            check=True,
            capture_output=True,
            env=plain_env(),
        )
        give(self.folder, self.account)
        self.start()

    def kill(self) -> None:
        """Kill it without a shutdown, as a crash of the machine does."""
        for pid in reversed(self.pids()):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.stop()

    def pids(self) -> list[int]:
        """Return the ids of the server's process and its backends."""
        if self.pid is None:
            return []
        children = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text(encoding="ascii")
        return [self.pid, *map(int, children.split())]

    def signal(self, number: int) -> None:
        """Send all of its processes a signal."""
        for pid in self.pids():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def set(self, name: str, value: str) -> None:
        """Change a setting, and reload. Also works on a server that is read-only by its settings."""
        with self.admin() as admin:
            admin.execute("SET default_transaction_read_only = off")
            admin.execute(f"ALTER SYSTEM SET {name} = '{value}'")
            admin.execute("SELECT pg_reload_conf()")


class Pair:
    """A primary and its standby. A failover swaps the two."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(mode=0o711, exist_ok=True)
        self.password = secrets.token_urlsafe(16)
        self.primary, self.standby = (Server(folder / name, name, self.password) for name in ("one", "two"))
        self.servers = (self.primary, self.standby)

    def url(self, role: str = "stint_app", *, ports: tuple[int, ...] = ()) -> str:
        """Return the DATABASE_URL that finds the current primary, by the servers' own ports or by others."""
        at = ",".join(f"{HOST}:{port}" for port in ports or [server.port for server in self.servers])
        return f"postgresql://{role}:{self.password}@{at}/stint?target_session_attrs=read-write"

    def start(self) -> None:
        """Start both, with the roles and the empty database of the guide."""
        self.primary.start()
        with self.primary.admin() as admin:
            for statement in _SQL.format(password=self.password).split(";"):
                admin.execute(statement)
        with self.primary.admin("stint") as admin:
            admin.execute(_PRIVILEGES)
        self.rejoin()

    def rejoin(self) -> None:
        """Make the other one a standby of the primary, and wait for it at each commit from then on."""
        self.standby.copy(self.primary)
        self.primary.set("synchronous_standby_names", f"FIRST 1 ({self.standby.standby_name})")
        eventually(self._streams)

    def lose(self) -> None:
        """Kill the primary."""
        self.primary.kill()

    def promote(self) -> None:
        """Make the standby the primary, and stop waiting for a standby, as Patroni does by default."""
        with self.standby.admin() as admin:
            admin.execute("SELECT pg_promote(true, 30)")
        self.standby.set("synchronous_standby_names", "")
        self.primary, self.standby = self.standby, self.primary

    def stop(self) -> None:
        """Stop both."""
        for server in self.servers:
            server.signal(signal.SIGCONT)
            server.stop()

    def _streams(self) -> bool:
        with self.primary.admin() as admin:
            return admin.execute(_STREAMS).fetchone() == (1,)


@contextlib.contextmanager
def postgres_pair(folder: Path) -> Iterator[Pair]:
    """Yield a running pair in an empty folder."""
    pair = Pair(folder)
    try:
        pair.start()
        yield pair
    finally:
        pair.stop()
