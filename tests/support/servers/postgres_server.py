"""Real PostgreSQL servers as targets of tests: on loopback, with passwords, and TLS where the programs have
it.
"""

import datetime as dt
import ipaddress
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from broker.demo.database import HOST, TargetServer
from broker.embedded import binaries
from broker.embedded.binaries import PostgresBinaries

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
    """Return the major versions that are installed: the system's and the wheel's."""
    return sorted({found.major for found in binaries._postgres_candidates()})


# For tests of differences between versions: they run with a shop of each.
each_version = pytest.mark.parametrize("shop", majors(), indirect=True, ids=lambda major: f"postgres{major}")


class PostgresServer(TargetServer):
    """A server of one major version below `state_dir`, with TLS if its build supports it."""

    def __init__(self, state_dir: Path, major: int, settings: Mapping[str, str] | None = None) -> None:
        super().__init__(state_dir, major=major, settings={**_SETTINGS, **(settings or {})})
        self.major = major
        self.authority = ""

    @property
    def binaries(self) -> PostgresBinaries:
        found = super().binaries
        assert found.major == self.major, f"PostgreSQL {self.major} is not here: see .ci/bootstrap"
        return found

    @property
    def tls(self) -> bool:
        """Whether the programs were built with TLS: the wheel's were not."""
        libraries = subprocess.run(
            ["ldd", self.binaries.postgres], capture_output=True, text=True, check=False
        )
        return "libssl" in libraries.stdout

    def _set_up(self) -> None:
        fresh = not self.data.is_dir()
        super()._set_up()
        if fresh and self.tls:
            self._certify()

    def _certify(self) -> None:
        key, certificate = self_signed(HOST)
        for name, text in (("server.key", key), ("server.crt", certificate)):
            (self.data / name).write_text(text)
            (self.data / name).chmod(0o600)
            if self.account is not None:
                os.chown(self.data / name, self.account.uid, self.account.gid)
        self.authority = certificate
        self._settings["ssl"] = "on"


def self_signed(address: str, *names: str) -> tuple[str, str]:
    """Return a key and its self-signed certificate for an address and host names, as PEM."""
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
            x509.SubjectAlternativeName(
                [x509.IPAddress(ipaddress.ip_address(address)), *map(x509.DNSName, names)]
            ),
            critical=False,
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return private.decode(), built.public_bytes(serialization.Encoding.PEM).decode()
