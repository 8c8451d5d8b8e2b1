"""User certificates that let one command run once, minted in memory (OpenSSH PROTOCOL.certkeys)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import asyncssh

# Seconds. A target whose clock is slightly behind must still accept the certificate.
BACKDATED = 30
LIFETIME = 60


class ForceCommandMissing(ValueError):
    """No command was given.

    A certificate without a forced command would allow everything, so none is created.
    """


@dataclass(frozen=True, slots=True)
class Authority:
    """The key that targets trust. ``private_key`` is in OpenSSH's format and never shown."""

    private_key: bytes = field(repr=False)

    def key(self) -> asyncssh.SSHKey:
        """Return the key, ready to sign."""
        return asyncssh.import_private_key(self.private_key)


@dataclass(frozen=True, slots=True)
class Credential:
    """A fresh key and its certificate, which exist only in this process's memory."""

    key: asyncssh.SSHKey = field(repr=False)
    certificate: asyncssh.SSHCertificate = field(repr=False)


def mint(
    ca: asyncssh.SSHKey,
    *,
    principal: str,
    serial: int,
    key_id: str,
    force_command: str,
    source_addresses: Sequence[str],
    now: float,
    pty: bool = False,
) -> Credential:
    """Return a new ed25519 key with a certificate for one principal and one command, valid for 60 s from
    ``now``.

    It permits no forwarding, no user rc, and a terminal only if ``pty``. ``source_addresses`` are the
    addresses or networks from which it may be used. ``now`` is in seconds since the epoch. Raises
    ForceCommandMissing, and ValueError for an empty principal or address list.
    """
    if not force_command.strip():
        raise ForceCommandMissing("A certificate requires a command.")
    if not principal or not source_addresses:
        raise ValueError("A certificate requires one principal and a source address.")
    key = asyncssh.generate_private_key("ssh-ed25519")
    certificate = ca.generate_user_certificate(
        key,
        key_id,
        serial=serial,
        principals=[principal],
        valid_after=int(now) - BACKDATED,
        valid_before=int(now) + LIFETIME,
        force_command=force_command,
        source_address=list(source_addresses),
        # asyncssh enables these by default.
        permit_x11_forwarding=False,
        permit_agent_forwarding=False,
        permit_port_forwarding=False,
        permit_pty=pty,
        permit_user_rc=False,
        touch_required=True,
        comment="",
    )
    return Credential(key, certificate)
