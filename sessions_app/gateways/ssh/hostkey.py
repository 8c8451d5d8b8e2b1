"""The host keys of the SSH gateways: the key with which all of them identify themselves, and the other
announced keys.

OpenSSH clients learn announced keys, and remove those that are no longer announced (``UpdateHostKeys``). So
clients already have the next key when it is put into use, and the previous one stays announced until it is
retired. Source: OpenSSH's PROTOCOL, section 2.5 (hostkeys-00@openssh.com).
"""

from __future__ import annotations

from collections.abc import Callable

import asyncssh
import structlog

from broker.kernel import clock
from sessions_app.operations.sessions.renew_gateway import Renewed
from sessions_app.operations.targets.ensure_authority import ensure_authority
from sessions_app.queries.gateways.keys import SSH_HOST_KEY, private_key_of, public_line, trusted_authorities

log = structlog.get_logger(__name__)


class HostKeys:
    """The host keys in the database. Calls ``on_change`` when they have changed."""

    def __init__(self) -> None:
        self.on_change: Callable[[], None] = lambda: None
        self.public = ""
        self.keys: list[asyncssh.SSHKey] = []
        self._fingerprints: list[str] = []
        self._seen: object = None

    def ask(self, renewed: Renewed) -> list[tuple[str, str, bytes]] | None:
        """Return fingerprint, public line and private key of each, the active one first; None if nothing has
        changed.

        Raises CannotDecrypt if the keys were encrypted with a different STINT_SECRET_KEY.
        """
        if renewed.keys == self._seen:
            return None
        found = trusted_authorities(SSH_HOST_KEY) or [ensure_authority(SSH_HOST_KEY, now=clock.now())]
        found.sort(key=lambda key: not key.is_active)
        self._seen = renewed.keys
        if [key.fingerprint for key in found] == self._fingerprints:
            return None
        return [(key.fingerprint, public_line(key), private_key_of(key)) for key in found]

    def take(self, found: list[tuple[str, str, bytes]] | None) -> None:
        """Use these keys from now on."""
        if found is None:
            return
        self._fingerprints = [fingerprint for fingerprint, _, _ in found]
        self.keys = [asyncssh.import_private_key(private) for _, _, private in found]
        self.public = found[0][1]
        log.info("host_key.in_use", fingerprint=self._fingerprints[0], announced=self._fingerprints[1:])
        self.on_change()
