"""Encryption of stored secrets (AES-256-GCM with keys derived from ``STINT_SECRET_KEY``), and
bearer tokens.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
from collections.abc import Callable
from typing import NamedTuple

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings
from django.db import connection
from django.db.models import Model

from broker.kernel.errors import StintError

_NONCE = 12


class CannotDecrypt(StintError):
    """A stored secret was encrypted under another ``STINT_SECRET_KEY``, or was altered. Restore the key."""

    code = "cannot_decrypt"
    status = 500


class SecretLocation(NamedTuple):
    """The field of a row to which an encrypted secret is bound. The secret can be decrypted only for this
    field. ``row`` is the row's primary key.
    """

    table: str
    row: int | str
    field: str

    def __str__(self) -> str:
        return f"{self.table} {self.row}, {self.field}"


def place_of(row: Model, field: str) -> SecretLocation:
    """Return the location of a row's field. If the row is not stored yet, assign its primary key."""
    about = row._meta  # noqa: SLF001  # Django documents it
    if row.pk is None:
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT nextval(pg_get_serial_sequence(%s, %s))", [about.db_table, about.pk.column]
            )
            row.pk = cursor.fetchone()[0]
    return SecretLocation(about.db_table, row.pk, field)


def _derived(purpose: str) -> bytes:
    material = HKDF(algorithm=SHA256(), length=32, salt=None, info=b"stint:" + purpose.encode())
    return material.derive(settings.SECRET_KEY.encode())


def seal(plain: bytes, *, place: SecretLocation) -> bytes:
    """Encrypt a secret for one location. The secret can't be decrypted at another location, so a copy in
    another row is useless.
    """
    nonce = secrets.token_bytes(_NONCE)
    return nonce + AESGCM(_derived("sealed")).encrypt(nonce, plain, json.dumps(place).encode())


def unseal(sealed: bytes, *, place: SecretLocation) -> bytes:
    """Decrypt a secret that ``seal`` encrypted for the same location. Raises CannotDecrypt."""
    try:
        return AESGCM(_derived("sealed")).decrypt(
            sealed[:_NONCE], sealed[_NONCE:], json.dumps(place).encode()
        )
    except (InvalidTag, ValueError) as error:
        raise CannotDecrypt(
            f"The secret in {place} can't be decrypted.",
            hint=(
                "Set STINT_SECRET_KEY to the value that it had when the secret was stored. If it already"
                " has that value, the secret was altered or copied from another row: enter it again."
            ),
        ) from error


def new_token(prefix: str) -> str:
    """Return a new bearer token of 256 bits, recognizable as Stint's by its prefix."""
    return f"{prefix}_{secrets.token_urlsafe(32)}"


def derived_token(prefix: str, name: str) -> str:
    """Return the bearer token that belongs to a name. The token is derived from the secret key, so it can be
    shown again without being stored.
    """
    return f"{prefix}_{base64.urlsafe_b64encode(_derived(f'token {name}')).rstrip(b'=').decode()}"


def keyed_digests(purpose: str) -> Callable[[bytes], bytes]:
    """Return a function that computes digests (HMAC-SHA-256) under the key for a purpose. Without the key,
    an attacker can't find out by guessing which values have a digest.
    """
    key = _derived(purpose)
    return lambda data: hmac.digest(key, data, "sha256")


def token_digest(token: str) -> str:
    """Return the digest to store for a token, SHA-256 in hex. Tokens have 256 random bits, so the digest
    needs no salt and no stretching.
    """
    return hashlib.sha256(token.encode()).hexdigest()
