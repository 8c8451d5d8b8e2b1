"""A private Valkey (or Redis), with one Unix socket in a private folder, a password, and a log of each write
on disk.
"""

from __future__ import annotations

import os
import secrets
import signal
import socket
from pathlib import Path

from broker.embedded.binaries import find_valkey, reachable_valkey
from broker.embedded.server import PrivateServer
from broker.embedded.state import write_private

# Celery's queue must not lose messages, so nothing is evicted. Source: valkey.conf.
_CONFIG = """\
port 0
unixsocket {socket}
unixsocketperm 700
requirepass {password}
dir {folder}
appendonly yes
appendfsync everysec
save ""
maxmemory 256mb
maxmemory-policy noeviction
daemonize no
loglevel warning
"""


class EmbeddedValkey(PrivateServer):
    """A private Valkey below `state_dir`, which must exist."""

    name = "valkey"
    stop_signal = signal.SIGTERM
    # A warning for machines with several gigabytes of data. This server has at most 256 MB, and Stint's queue
    # is rebuilt from the database if lost.
    hidden = "Memory overcommit must be enabled"

    def __init__(self, state_dir: Path) -> None:
        super().__init__(state_dir)
        self._config = state_dir / "valkey.conf"
        self._password_file = state_dir / "valkey_password"
        self._binary: Path | None = None

    @property
    def socket(self) -> Path:
        return self.sockets / "valkey.sock"

    @property
    def binary(self) -> Path:
        """The program in use. Raises `BinaryMissingError`."""
        if self._binary is None:
            copies = self.state_dir / "bin"
            self._binary = reachable_valkey(find_valkey(), account=self.account, copies=copies)
        return self._binary

    def celery_url(self, db: int = 0) -> str:
        """Return the URL of database `db` for Celery and kombu."""
        return f"redis+socket://:{self._password()}@{self.socket}?virtual_host={db}"

    def url(self, db: int = 0) -> str:
        """Return the URL of database `db` for redis-py."""
        return f"unix://:{self._password()}@{self.socket}?db={db}"

    def is_ready(self) -> bool:
        """Whether the server responds to PING. It doesn't respond while it loads its log."""
        try:
            with socket.socket(socket.AF_UNIX) as client:
                client.settimeout(1)
                client.connect(str(self.socket))
                client.sendall(f"AUTH {self._password()}\r\nPING\r\nQUIT\r\n".encode())
                return b"+PONG" in client.makefile("rb").read()
        except OSError:
            return False

    def _password(self) -> str:
        return self._password_file.read_text(encoding="ascii").strip()

    def _program(self) -> list[str]:
        return [str(self.binary), str(self._config)]

    def _set_up(self) -> None:
        if not self._password_file.exists():
            write_private(self._password_file, secrets.token_urlsafe(24) + "\n")
        folder, place = _quoted(self.folder), _quoted(self.socket)
        write_private(self._config, _CONFIG.format(socket=place, password=self._password(), folder=folder))
        if self.account:
            os.chown(self._config, self.account.uid, self.account.gid)


def _quoted(path: Path) -> str:
    """Return `path` quoted for the configuration file."""
    return '"' + str(path).replace("\\", "\\\\").replace('"', '\\"') + '"'
