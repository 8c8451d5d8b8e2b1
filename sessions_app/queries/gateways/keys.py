"""Keys that all gateways share: the certificate authorities that targets (SSH) and clients (TLS) trust, and
the host key of the SSH gateways.
"""

from __future__ import annotations

from collections.abc import Iterable

from broker.kernel.crypto import place_of, unseal
from broker.kernel.x509 import Pair
from sessions_app.models import SigningKey

SSH_USER_CA = "ssh-user-ca"
GATEWAY_CA = "gateway-ca"
SSH_HOST_KEY = "ssh-host-key"


def active_authority(purpose: str) -> SigningKey | None:
    """Return the active signing authority, or None if none exists yet."""
    return SigningKey.objects.filter(purpose=purpose, is_active=True).first()


def trusted_authorities(purpose: str) -> list[SigningKey]:
    """Return all authorities that are not retired, oldest first. Clients should trust all of them."""
    return list(
        SigningKey.objects.filter(purpose=purpose, retired_at__isnull=True).order_by("created_at", "pk")
    )


def private_key_of(key: SigningKey) -> bytes:
    """Return an authority's private key: in OpenSSH format for SSH, PEM for TLS.

    Raises CannotDecrypt if STINT_SECRET_KEY has changed.
    """
    return unseal(bytes(key.sealed_private_key), place=place_of(key, "sealed_private_key"))


def public_line(key: SigningKey) -> str:
    """Return the public half of an SSH key in known_hosts format: algorithm and key, without a comment."""
    algorithm, data, *_ = key.public_key.split()
    return f"{algorithm} {data}"


def gateway_ca_pair(key: SigningKey) -> Pair:
    """Return the certificate and private key of an authority of the web gateways.

    Raises CannotDecrypt if STINT_SECRET_KEY has changed.
    """
    return Pair(key.public_key.encode("ascii"), private_key_of(key))


def bundle(certificates: Iterable[str]) -> str:
    """Return PEM certificates as the content of one file."""
    return "".join(f"{certificate.rstrip()}\n" for certificate in certificates)


def gateway_bundle() -> str:
    """Return the certificates that clients of the web gateways trust (PEM), oldest first; empty if there are
    none.
    """
    return bundle(key.public_key for key in trusted_authorities(GATEWAY_CA))
