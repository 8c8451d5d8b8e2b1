"""One-way messages that only two processes can read, sent over an untrusted carrier.

Each message has a number, so an altered, repeated or reordered message is rejected, and a missing one is
noticed. Source: NIST SP 800-38D (AES-GCM); each key belongs to one sender, which never repeats a number.
"""

from __future__ import annotations

import struct

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from broker.kernel.crypto import CannotDecrypt

_NUMBER = struct.Struct(">Q")


def new_key() -> bytes:
    """Return a new key, 32 bytes, for one channel."""
    return AESGCM.generate_key(256)


class Sender:
    """Encrypts the messages of one channel, in order."""

    def __init__(self, key: bytes) -> None:
        self._cipher, self._next = AESGCM(key), 0

    def seal(self, plain: bytes) -> bytes:
        """Return the encrypted message to send."""
        number, self._next = _NUMBER.pack(self._next), self._next + 1
        return number + self._cipher.encrypt(_nonce(number), plain, None)


class Receiver:
    """Decrypts the messages of one channel, in order."""

    def __init__(self, key: bytes) -> None:
        self._cipher, self._next = AESGCM(key), 0

    def open(self, sent: bytes) -> tuple[bytes, int]:
        """Return a message, and how many messages before it were lost. Raises CannotDecrypt."""
        number = sent[: _NUMBER.size]
        try:
            plain = self._cipher.decrypt(_nonce(number), sent[_NUMBER.size :], None)
            at = _NUMBER.unpack(number)[0]
        except (InvalidTag, ValueError, struct.error) as error:
            raise CannotDecrypt("A message was altered in transit.") from error
        if at < self._next:
            raise CannotDecrypt("A message was received twice.")
        lost, self._next = at - self._next, at + 1
        return plain, lost


def _nonce(number: bytes) -> bytes:
    return b"\0\0\0\0" + number
