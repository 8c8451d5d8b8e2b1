"""A device with passkeys, in a few lines of WebAuthn: it creates and presents them in the form that a browser
passes on.
"""

import hashlib
import json
import secrets
import struct
from base64 import urlsafe_b64encode
from dataclasses import dataclass, field
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from fido2 import cbor
from fido2.cose import ES256

ORIGIN = "http://localhost:8000"
PRESENT, VERIFIED, ATTESTED = 1, 4, 64


def text(data: bytes) -> str:
    """Return bytes in the encoding of browsers."""
    return urlsafe_b64encode(data).decode().rstrip("=")


@dataclass
class Device:
    """One passkey. ``verifies``: it verifies the person; ``counter`` counts its uses, or stays 0."""

    verifies: bool = True
    counter: int = 0
    origin: str = ORIGIN
    host: str = "localhost"
    key: Any = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))
    id: bytes = field(default_factory=lambda: secrets.token_bytes(16))
    user: str = ""
    algorithm: int = ES256.ALGORITHM

    def make(self, asked: dict[str, Any]) -> str:
        """Return the result of `navigator.credentials.create`."""
        self.user = asked["user"]["id"]
        public = cbor.encode({**ES256.from_cryptography_key(self.key.public_key()), 3: self.algorithm})
        made = bytes(16) + struct.pack(">H", len(self.id)) + self.id + public
        attestation = cbor.encode({"fmt": "none", "attStmt": {}, "authData": self._data(ATTESTED) + made})
        return self._answer(asked, "webauthn.create", lambda _: {"attestationObject": text(attestation)})

    def show(self, asked: dict[str, Any]) -> str:
        """Return the result of `navigator.credentials.get`."""
        if self.counter:
            self.counter += 1
        data = self._data(0)

        def signed(client: bytes) -> dict[str, str]:
            signature = self.key.sign(data + hashlib.sha256(client).digest(), ec.ECDSA(SHA256()))
            return {"authenticatorData": text(data), "signature": text(signature), "userHandle": self.user}

        return self._answer(asked, "webauthn.get", signed)

    def _data(self, more: int) -> bytes:
        flags = PRESENT | more | (VERIFIED if self.verifies else 0)
        return hashlib.sha256(self.host.encode()).digest() + struct.pack(">BI", flags, self.counter)

    def _answer(self, asked: dict[str, Any], kind: str, more: Any) -> str:
        client = json.dumps(
            {"type": kind, "challenge": asked["challenge"], "origin": self.origin, "crossOrigin": False}
        ).encode()
        response = {"clientDataJSON": text(client), **more(client)}
        return json.dumps(
            {"id": text(self.id), "rawId": text(self.id), "type": "public-key", "response": response}
        )


def give_passkey(identity: Any, now: Any, name: str = "Laptop", **more: Any) -> Device:
    """Add a passkey to a person's account."""
    from accounts.passkeys import ask_to_add
    from sessions_app.operations.identities.add_passkey import add_passkey

    device = Device(**more)
    asked, state = ask_to_add(identity)
    answer = device.make(json.loads(json.dumps(asked["publicKey"])))
    add_passkey(answer=answer, state=state, name=name, actor=identity, now=now)
    identity.refresh_from_db()
    return device
