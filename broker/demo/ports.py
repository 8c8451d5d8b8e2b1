"""Ports that nobody listens on."""

from __future__ import annotations

import collections
import random
import socket
from pathlib import Path

# Claims that are remembered, of those that were handed out last: whoever asked has begun to listen by then.
_claims: collections.deque[socket.socket] = collections.deque()
_MOST = 64


def free_port() -> int:
    """Return a port of the loopback interface that is free, and that no other process is given meanwhile.

    It is not one that the kernel hands out by itself (ip_local_port_range, ip(7)) if enough are left beside those, and is
    claimed by the name of an abstract socket (unix(7)), which ends with this process. Raises OSError if none is found.
    """
    for port in random.sample(_range(), 500):
        if _claim(port):
            return port
    raise OSError("no port is free on 127.0.0.1")


def _range() -> range:
    text = Path("/proc/sys/net/ipv4/ip_local_port_range").read_text(encoding="ascii")
    lowest = int(text.split()[0])
    return range(10_000, lowest) if lowest > 12_000 else range(10_000, 65_536)


def _claim(port: int) -> bool:
    claim = socket.socket(socket.AF_UNIX)
    try:
        claim.bind(f"\0stint-port-{port}")
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", port))
    except OSError:
        claim.close()
        return False
    _claims.append(claim)
    if len(_claims) > _MOST:
        _claims.popleft().close()
    return True
