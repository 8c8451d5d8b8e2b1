"""The certificate authorities over SSH: which one signs, and which ones targets trust."""

from __future__ import annotations

from broker.kernel.crypto import unseal
from sessions_app.models import SigningKey

SSH_USER_CA = "ssh-user-ca"


def active_ssh_ca() -> SigningKey | None:
    """Return the authority that signs now; None before the first one is made."""
    return SigningKey.objects.filter(purpose=SSH_USER_CA, is_active=True).first()


def ssh_ca_private_key(key: SigningKey) -> bytes:
    """Return the authority's private key in OpenSSH's format. Raises CannotDecrypt under another STINT_SECRET_KEY."""
    return unseal(bytes(key.sealed_private_key), purpose=SSH_USER_CA)


def trusted_ssh_cas() -> list[SigningKey]:
    """Return all authorities that are not retired, the oldest first: what targets should trust."""
    return list(
        SigningKey.objects.filter(purpose=SSH_USER_CA, retired_at__isnull=True).order_by("created_at", "pk")
    )
