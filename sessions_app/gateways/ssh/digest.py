"""The SHA-256 of transferred content."""

from __future__ import annotations

import hashlib
from concurrent.futures import Future, ThreadPoolExecutor


class Digest:
    """Computes the SHA-256 of large chunks in another thread."""

    # A single thread keeps the chunks in order.
    _thread = ThreadPoolExecutor(1, thread_name_prefix="sha256")

    def __init__(self) -> None:
        self._sha256 = hashlib.sha256()
        self._last: Future[None] | None = None

    def update(self, data: bytes) -> None:
        """Add a chunk."""
        self._last = self._thread.submit(self._sha256.update, data)

    def hexdigest(self) -> str:
        """Return the digest of all chunks. Waits for chunks that are still being processed."""
        if self._last is not None:
            self._last.result()
        return self._sha256.hexdigest()
