"""Uploads that wait until they are decided or stored: encrypted on disk, with keys in memory."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from cryptography.hazmat.primitives.ciphers import Cipher, CipherContext, algorithms, modes

from broker.kernel.errors import StintError

# The maximum bytes that may wait in one process, and the bytes that must stay free on its disk, at a gateway
# for recordings.
MOST_OF_ALL, KEPT_FREE = 20_000_000_000, 1_000_000_000
_PIECE = 256 * 1024


class SpoolFull(StintError):
    """Too many uploads are waiting. Nothing was written. Try again in a moment."""

    code = "uploads_full"
    status = 503


class Spooled:
    """One waiting file, which has no name on disk, and so disappears when the process ends."""

    waiting = 0

    def __init__(self, folder: Path) -> None:
        """Raises OSError."""
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115  # closed by ``close``
        self._key, self._nonce = os.urandom(32), os.urandom(16)
        self._cipher = self._new_cipher()
        self._sha256 = hashlib.sha256()
        self.size = 0

    def _new_cipher(self) -> CipherContext:
        # The same key stream encrypts and decrypts. Each file has its own key and nonce.
        return Cipher(algorithms.AES(self._key), modes.CTR(self._nonce)).encryptor()

    def write(self, data: bytes) -> None:
        """Add data. Raises SpoolFull and OSError."""
        disk = os.fstatvfs(self._file.fileno())
        if Spooled.waiting + len(data) > MOST_OF_ALL or disk.f_bavail * disk.f_frsize < KEPT_FREE:
            raise SpoolFull("Too many uploads are waiting.", hint="Try again in a moment.")
        Spooled.waiting += len(data)
        self.size += len(data)
        self._sha256.update(data)
        self._file.write(self._cipher.update(data))

    @property
    def sha256(self) -> str:
        """The digest of what was written, in hex."""
        return self._sha256.hexdigest()

    def pieces(self) -> Iterator[bytes]:
        """Yield the whole file from its start. Raises OSError."""
        self._file.seek(0)
        cipher = self._new_cipher()
        while sealed := self._file.read(_PIECE):
            yield cipher.update(sealed)

    def close(self) -> None:
        """Remove the file."""
        if not self._file.closed:
            self._file.close()
            Spooled.waiting -= self.size
