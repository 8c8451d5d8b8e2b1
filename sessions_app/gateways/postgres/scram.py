"""SCRAM-SHA-256, for holders that log in to the gateway, and for the gateway that logs in to a target.

Sources: RFC 5802, RFC 7677, RFC 5929 §4 (tls-server-end-point), and PostgreSQL's documentation, "SASL
Authentication". Passwords here are ASCII, so SASLprep leaves them unchanged.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets
from dataclasses import dataclass, field

from sessions_app.connectors.postgres.scram import ITERATIONS, keyed, keys

PLAIN, PLUS = "SCRAM-SHA-256", "SCRAM-SHA-256-PLUS"
# More iterations would only keep this process busy.
_MOST_ITERATIONS = 100_000
_BINDING = "p=tls-server-end-point"


class ScramError(Exception):
    """The other side's message is not valid, or its proof is wrong."""


@dataclass(frozen=True, slots=True)
class Verifier:
    """A server's verifier of a password. It can check a proof, but not create one."""

    salt: bytes
    iterations: int
    stored_key: bytes = field(repr=False)
    server_key: bytes = field(repr=False)


def verifier(password: str, salt: bytes, iterations: int = ITERATIONS) -> Verifier:
    """Return the verifier of an ASCII password."""
    _, stored, server = keys(password, salt, iterations)
    return Verifier(salt, iterations, stored, server)


class Server:
    """One login at the gateway. Call ``first``, then ``final``."""

    def __init__(self, mechanism: str, *, binding: bytes | None, nonce: str = "") -> None:
        """``binding`` is the hash of the gateway's certificate; None if this mechanism was not offered."""
        self._mechanism, self._binding = mechanism, binding
        self._nonce = nonce or secrets.token_urlsafe(18)
        self._header = self._said = ""

    def first(self, said: bytes, known: Verifier) -> bytes:
        """Return the response to the client's first message. Raises ScramError."""
        header, bare = _first(said)
        if (self._mechanism == PLUS) != (header == _BINDING):
            raise ScramError("the channel binding does not match the mechanism")
        if header == "y" and self._binding is not None:
            # The client supports channel binding but did not see the gateway's offer.
            raise ScramError("the offer of channel binding was removed on the way")
        name, client_nonce, *_ = [*bare.split(","), ""]
        if not name.startswith("n=") or not client_nonce.startswith("r=") or len(client_nonce) < 3:
            raise ScramError("the first message is not valid")
        self._known, self._header = known, header
        self._nonce = client_nonce[2:] + self._nonce
        salt = base64.b64encode(known.salt).decode()
        answer = f"r={self._nonce},s={salt},i={known.iterations}"
        self._said = f"{bare},{answer}"
        return answer.encode()

    def final(self, said: bytes) -> bytes:
        """Return the response to the client's proof. Raises ScramError if the proof is wrong."""
        text = _text(said)
        without, comma, proof = text.rpartition(",p=")
        parts = without.split(",")
        if not comma or len(parts) < 2:
            raise ScramError("the last message is not valid")
        bound = f"{self._header},,".encode() + (self._binding or b"" if self._mechanism == PLUS else b"")
        wanted = [f"c={base64.b64encode(bound).decode()}", f"r={self._nonce}"]
        signed = f"{self._said},{without}".encode()
        key = _xor(_base64(proof), keyed(self._known.stored_key, signed))
        right = hmac.compare_digest(hashlib.sha256(key).digest(), self._known.stored_key)
        if not right or parts[:2] != wanted:
            raise ScramError("the proof is wrong")
        return b"v=" + base64.b64encode(keyed(self._known.server_key, signed))


class Client:
    """One login at a target, without channel binding. Call ``first``, ``final``, then ``check``."""

    def __init__(self, password: str, *, name: str = "", nonce: str = "") -> None:
        self._password = password
        self._nonce = nonce or secrets.token_urlsafe(18)
        self._bare = f"n={name},r={self._nonce}"
        self._wanted = b""

    def first(self) -> bytes:
        """Return the client's first message."""
        return f"n,,{self._bare}".encode()

    def final(self, said: bytes) -> bytes:
        """Return the proof for the server's first message. Raises ScramError."""
        text = _text(said)
        parts = dict(part.split("=", 1) for part in text.split(",") if "=" in part)
        nonce, rounds = parts.get("r", ""), parts.get("i", "")
        if not nonce.startswith(self._nonce) or nonce == self._nonce or not rounds.isdecimal():
            raise ScramError("the server's first message is not valid")
        if not 1 <= int(rounds) <= _MOST_ITERATIONS:
            raise ScramError(f"the server asks for {rounds} iterations, and the limit is {_MOST_ITERATIONS}")
        client, stored, server = keys(self._password, _base64(parts.get("s", "")), int(rounds))
        without = f"c=biws,r={nonce}"
        signed = f"{self._bare},{text},{without}".encode()
        self._wanted = keyed(server, signed)
        proof = _xor(client, keyed(stored, signed))
        return f"{without},p={base64.b64encode(proof).decode()}".encode()

    def check(self, said: bytes) -> None:
        """Check the server's last message. Raises ScramError if the server does not know the password."""
        text = _text(said)
        right = self._wanted and hmac.compare_digest(_base64(text.removeprefix("v=")), self._wanted)
        if not text.startswith("v=") or not right:
            raise ScramError("the server does not know the password")


def _first(said: bytes) -> tuple[str, str]:
    header, _, rest = _text(said).partition(",")
    authorized, comma, bare = rest.partition(",")
    if header not in ("n", "y", _BINDING) or authorized or not comma:
        raise ScramError("the first message is not valid")
    return header, bare


def _text(said: bytes) -> str:
    try:
        return said.decode("ascii")
    except UnicodeDecodeError as error:
        raise ScramError("a message is not ASCII") from error


def _base64(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise ScramError("a value is not base64") from error


def _xor(one: bytes, two: bytes) -> bytes:
    if len(one) != len(two):
        raise ScramError("the proof has the wrong length")
    return bytes(a ^ b for a, b in zip(one, two, strict=True))
