"""SCRAM-SHA-256 verifiers, computed here so that no server ever stores or logs a password.

Sources: RFC 5802 section 3, RFC 7677, and PostgreSQL's pg_authid.rolpassword.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets

ITERATIONS = 4096
SALT_BYTES = 16
PASSWORD_BYTES = 24


def new_password() -> str:
    """Return a password with 192 random bits.

    The password contains only letters, digits, `-` and `_`, which SASLprep and URIs leave unchanged.
    """
    return secrets.token_urlsafe(PASSWORD_BYTES)


def verifier(password: str, *, salt: bytes | None = None, iterations: int = ITERATIONS) -> str:
    """Return the form in which PostgreSQL stores an ASCII password: ``SCRAM-SHA-256$rounds:salt$stored
    key:server key``.
    """
    salt = secrets.token_bytes(SALT_BYTES) if salt is None else salt
    _, stored, server = keys(password, salt, iterations)
    return f"SCRAM-SHA-256${iterations}:{_text(salt)}${_text(stored)}:{_text(server)}"


def keys(password: str, salt: bytes, iterations: int) -> tuple[bytes, bytes, bytes]:
    """Return the client key, the stored key and the server key of an ASCII password."""
    salted = hashlib.pbkdf2_hmac("sha256", password.encode("ascii"), salt, iterations)
    client = keyed(salted, b"Client Key")
    return client, hashlib.sha256(client).digest(), keyed(salted, b"Server Key")


def keyed(key: bytes, data: bytes) -> bytes:
    """Return the HMAC of data with SHA-256."""
    return hmac.new(key, data, hashlib.sha256).digest()


def _text(raw: bytes) -> str:
    return base64.b64encode(raw).decode("ascii")
