"""Encrypted objects: AES-256-GCM in chunks, so that a reader can begin anywhere and never reads altered data.

In bytes, with ``||`` for concatenation::

    object  magic || chunk 0 || chunk 1 || …
    chunk   AES-256-GCM of CHUNK bytes, with its tag of 16 bytes. The last one may be shorter
    nonce   the chunk's number (11 bytes, big-endian) || 1 for the last chunk, otherwise 0 (1 byte)
    data    the magic, as the associated data of each chunk

Each key encrypts only one object, so that its nonces never repeat. Truncated or reordered chunks fail to
decrypt. This is the STREAM construction (https://eprint.iacr.org/2015/189).
"""

from __future__ import annotations

import errno
import hashlib
import io
from typing import BinaryIO

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from sessions_app.storage.base import ObjectStore, StoreError, Stream

MAGIC = b"stint-sealed-1\n\0"
CHUNK, TAG = 64 * 1024, 16


class Altered(OSError):
    """The object does not match what was encrypted with this key."""

    def __init__(self, name: str) -> None:
        super().__init__(errno.EBADMSG, f"the object {name} was altered, or belongs to another key")


def new_key() -> bytes:
    """Return a new key, for one object."""
    return AESGCM.generate_key(256)


def encrypt(source: BinaryIO, key: bytes, into: BinaryIO) -> str:
    """Write ``source`` encrypted with a new key, and return the SHA-256 of the ciphertext in hex.

    Raises OSError.
    """
    cipher, digest, number = AESGCM(key), hashlib.sha256(), 0
    _add(MAGIC, digest, into)
    data = source.read(CHUNK)
    while True:
        following = source.read(CHUNK)
        _add(cipher.encrypt(_nonce(number, last=not following), data, MAGIC), digest, into)
        if not following:
            return digest.hexdigest()
        data, number = following, number + 1


def _add(data: bytes, digest: hashlib._Hash, into: BinaryIO) -> None:
    digest.update(data)
    into.write(data)


def _nonce(number: int, *, last: bool) -> bytes:
    return number.to_bytes(11, "big") + bytes([last])


def opened(store: ObjectStore, name: str, key: bytes) -> io.BufferedReader | None:
    """Return the decrypted content of an object, readable and seekable; None if there is no such object.

    Reading raises StoreError, and raises Altered before any altered content is returned.
    """
    size = store.size(name)
    return None if size is None else io.BufferedReader(_Reader(store, name, key, size), CHUNK)


class _Reader(io.RawIOBase):
    """Decrypts chunk by chunk while reading. After a seek, the object is fetched again from the new
    offset.
    """

    def __init__(self, store: ObjectStore, name: str, key: bytes, size: int) -> None:
        """Raise Altered if an encrypted object can't have this size, or is empty although its content was
        not.
        """
        self._store, self._name, self._cipher = store, name, AESGCM(key)
        body = size - len(MAGIC)
        self._last = (body - 1) // (CHUNK + TAG)
        self._size = body - (self._last + 1) * TAG
        if body < TAG or self._size < self._last * CHUNK:
            raise Altered(name)
        self._place = 0
        self._stream: Stream | None = None
        self._next = 0
        self._number, self._chunk = -1, b""
        if not self._size:
            self._decrypted(0)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._place, io.SEEK_END: self._size}[whence]
        self._place = max(0, start + offset)
        return self._place

    def tell(self) -> int:
        return self._place

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]  # what BufferedReader passes
        if self._place >= self._size:
            return 0
        number, start = divmod(self._place, CHUNK)
        data = self._decrypted(number)[start : start + len(buffer)]
        buffer[: len(data)] = data
        self._place += len(data)
        return len(data)

    def close(self) -> None:
        if self._stream is not None:
            self._stream.close()
            self._stream = None
        super().close()

    def _decrypted(self, number: int) -> bytes:
        if number != self._number:
            sealed = self._fetched(number)
            try:
                self._chunk = self._cipher.decrypt(_nonce(number, last=number == self._last), sealed, MAGIC)
            except InvalidTag as error:
                raise Altered(self._name) from error
            self._number = number
        return self._chunk

    def _fetched(self, number: int) -> bytes:
        if self._stream is None or self._next != number:
            if self._stream is not None:
                self._stream.close()
            self._stream = self._store.read(self._name, len(MAGIC) + number * (CHUNK + TAG))
        wanted = CHUNK + TAG if number < self._last else self._size - number * CHUNK + TAG
        self._next = number + 1
        found = b""
        while len(found) < wanted:
            part = self._stream.read(wanted - len(found))
            if not part:
                raise StoreError(f"the object {self._name} ended early")
            found += part
        return found
