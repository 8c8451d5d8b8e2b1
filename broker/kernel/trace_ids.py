"""The IDs of traces."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

HEADER = "traceparent"


@dataclass(frozen=True, slots=True)
class Life:
    """The facts that identify a grant's trace: the ID of its request, and the grant's reference, which is
    empty before the grant exists.
    """

    request_id: int
    grant: str = ""

    def ids(self, installation: str) -> tuple[int, int]:
        """Return the ID of the trace, and the ID of its first span."""
        digest = hashlib.sha256(f"stint-trace-1\n{installation}\n{self.request_id}".encode()).digest()
        return int.from_bytes(digest[:16]), int.from_bytes(digest[16:24])
