"""The SHA-256 of transferred content."""

from __future__ import annotations

import hashlib
from concurrent.futures import Future, ThreadPoolExecutor

# Bytes that are handed to the other thread together, because each time costs as much as hashing 64 KiB.
_AT_ONCE = 512 * 1024


class Digest:
    """Computes the SHA-256 of large chunks in another thread."""

    # A single thread keeps the chunks in order.
    _thread = ThreadPoolExecutor(1, thread_name_prefix="sha256")

    def __init__(self) -> None:
        self._sha256 = hashlib.sha256()
        self._chunks: list[bytes] = []
        self._size = 0
        self._last: Future[None] | None = None

    def update(self, data: bytes) -> None:
        """Add a chunk."""
        self._chunks.append(data)
        self._size += len(data)
        if self._size >= _AT_ONCE:
            self._last = self._thread.submit(self._add, self._taken())

    def hexdigest(self) -> str:
        """Return the digest of all chunks. Waits for chunks that are still being processed."""
        if self._last is not None:
            self._last.result()
        self._add(self._taken())
        return self._sha256.hexdigest()

    def _taken(self) -> list[bytes]:
        chunks, self._chunks, self._size = self._chunks, [], 0
        return chunks

    def _add(self, chunks: list[bytes]) -> None:
        self._sha256.update(b"".join(chunks))
