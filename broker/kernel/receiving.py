"""A buffer into which all connections of an event loop read."""

from __future__ import annotations

import threading

# Bytes. Larger reads would be copied more often than they save system calls.
_SIZE = 64 * 1024
_own = threading.local()


def receive_buffer() -> memoryview:
    """Return the buffer of this thread, for `asyncio.BufferedProtocol`.

    Its data must be taken at once: the next read of any connection overwrites it. Threads must not share it,
    because each has an event loop of its own.
    """
    found: memoryview | None = getattr(_own, "buffer", None)
    if found is None:
        found = _own.buffer = memoryview(bytearray(_SIZE))
    return found
