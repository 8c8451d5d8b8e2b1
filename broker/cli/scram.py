"""The client's side of SCRAM-SHA-256, for the tunnel, which logs in for programs without a password.

Sources: RFC 5802, RFC 7677. Passwords here are ASCII, so SASLprep leaves them unchanged.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets

MECHANISM = b"SCRAM-SHA-256"
_MOST_ITERATIONS = 100_000


class ScramError(Exception):
    """The server's message is not valid, or the server does not know the password."""


class Client:
    """One login. Call ``first``, ``final``, then ``check``."""

    def __init__(self, password: str) -> None:
        self._password = password.encode("ascii")
        self._nonce = secrets.token_urlsafe(18)
        self._expected = b""

    def first(self) -> bytes:
        """Return the client's first message."""
        return f"n,,n=,r={self._nonce}".encode()

    def final(self, server_first: bytes) -> bytes:
        """Return the proof for the server's first message. Raises ScramError."""
        text = server_first.decode("ascii", errors="replace")
        parts = dict(part.split("=", 1) for part in text.split(",") if "=" in part)
        nonce, rounds = parts.get("r", ""), parts.get("i", "")
        if not nonce.startswith(self._nonce) or nonce == self._nonce:
            raise ScramError("the server's nonce is not valid")
        if not rounds.isdecimal() or not 1 <= int(rounds) <= _MOST_ITERATIONS:
            raise ScramError("the server's number of iterations is not valid")
        salted = hashlib.pbkdf2_hmac("sha256", self._password, _decoded(parts.get("s", "")), int(rounds))
        client = _keyed(salted, b"Client Key")
        without = f"c=biws,r={nonce}"
        signed = f"n=,r={self._nonce},{text},{without}".encode()
        signature = _keyed(hashlib.sha256(client).digest(), signed)
        self._expected = _keyed(_keyed(salted, b"Server Key"), signed)
        proof = bytes(a ^ b for a, b in zip(client, signature, strict=True))
        return f"{without},p={base64.b64encode(proof).decode()}".encode()

    def check(self, server_final: bytes) -> None:
        """Check the server's last message. Raises ScramError if the server does not know the password."""
        text = server_final.decode("ascii", errors="replace")
        known = hmac.compare_digest(_decoded(text.removeprefix("v=")), self._expected)
        if not text.startswith("v=") or not self._expected or not known:
            raise ScramError("the server does not know the password")


def _keyed(key: bytes, data: bytes) -> bytes:
    return hmac.new(key, data, hashlib.sha256).digest()


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise ScramError("a value is not base64") from None
