"""Secrets at rest and tokens: AES-256-GCM under keys derived from ``STINT_SECRET_KEY``, and hashed bearer tokens."""

from __future__ import annotations

import base64
import hashlib
import secrets

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings

from broker.kernel.errors import StintError

_NONCE = 12


class CannotDecrypt(StintError):
    """The stored secret was sealed under another ``STINT_SECRET_KEY``, or was altered."""

    code = "cannot_decrypt"
    status = 500


def _derived(purpose: str) -> bytes:
    material = HKDF(algorithm=SHA256(), length=32, salt=None, info=b"stint:" + purpose.encode())
    return material.derive(settings.SECRET_KEY.encode())


def _key(purpose: str) -> AESGCM:
    return AESGCM(_derived(purpose))


def seal(plain: bytes, *, purpose: str) -> bytes:
    """Encrypt for storage. ``purpose`` separates keys, so that a sealed value can't be moved to another use."""
    nonce = secrets.token_bytes(_NONCE)
    return nonce + _key(purpose).encrypt(nonce, plain, purpose.encode())


def unseal(sealed: bytes, *, purpose: str) -> bytes:
    """Decrypt what ``seal`` encrypted. Raises CannotDecrypt."""
    try:
        return _key(purpose).decrypt(sealed[:_NONCE], sealed[_NONCE:], purpose.encode())
    except InvalidTag as error:
        raise CannotDecrypt(
            f"The stored {purpose} can't be decrypted.",
            hint="Set STINT_SECRET_KEY to the value it was stored under.",
        ) from error


def new_token(prefix: str) -> str:
    """Return a new bearer token of 256 bits, recognizable as Stint's by its prefix."""
    return f"{prefix}_{secrets.token_urlsafe(32)}"


def derived_token(prefix: str, name: str) -> str:
    """Return the bearer token of a name, always the same, so that it can be shown again and is stored nowhere."""
    return f"{prefix}_{base64.urlsafe_b64encode(_derived(f'token {name}')).rstrip(b'=').decode()}"


def token_digest(token: str) -> str:
    """Return the digest of a token that is stored: SHA-256 in hex. Tokens have 256 bits, so no salt or stretching is
    needed.
    """
    return hashlib.sha256(token.encode()).hexdigest()
