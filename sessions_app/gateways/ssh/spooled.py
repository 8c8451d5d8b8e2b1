"""Uploads that wait at the gateway until they are decided: encrypted on disk, with keys in memory."""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path

from cryptography.hazmat.primitives.ciphers import Cipher, CipherContext, algorithms, modes

from broker.kernel.errors import StintError
from sessions_app.policy.commands.characters import hidden_at

# The maximum bytes that may wait at one gateway, and the bytes that must stay free on its disk for
# recordings.
MOST_OF_ALL, KEPT_FREE = 20_000_000_000, 1_000_000_000
_PIECE = 256 * 1024
# Bytes of a text that approvers see.
MOST_SHOWN = 64 * 1024
_LINES = re.compile(r"\r?\n|\t")


class SpoolFull(StintError):
    """Too many uploads are waiting at the gateway. Nothing was written. Try again in a moment."""

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
            raise SpoolFull("Too many uploads are waiting at the gateway.", hint="Try again in a moment.")
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

    def text(self) -> str | None:
        """Return the whole file as text; None if it is too large to be shown, or not UTF-8, or has invisible
        characters other than tabs and newlines. Raises OSError.
        """
        if self.size > MOST_SHOWN:
            return None
        try:
            text = b"".join(self.pieces()).decode()
        except UnicodeDecodeError:
            return None
        return text if hidden_at(_LINES.sub("", text)) is None else None

    def close(self) -> None:
        """Remove the file."""
        if not self._file.closed:
            self._file.close()
            Spooled.waiting -= self.size
