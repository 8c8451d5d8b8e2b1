"""Free ports for servers."""

from __future__ import annotations

import os
import random
import socket
import threading
from pathlib import Path

_BLOCK = 100
_claims: list[socket.socket] = []
_ports: list[int] = []
_lock = threading.Lock()
# A forked process copies its parent's memory, so both would return the same ports.
os.register_at_fork(after_in_child=_ports.clear)


def free_port() -> int:
    """Return a free port of the loopback interface, which is returned only once while this process runs.

    If possible, the port is outside of the kernel's ephemeral range (ip_local_port_range, ip(7)). It is from
    a block of ports that this process has claimed by binding an abstract socket (unix(7)), which is released
    when the process ends. Raises OSError if no port is free.
    """
    with _lock:
        while True:
            while _ports:
                port = _ports.pop()
                if _is_free(port):
                    return port
            _ports.extend(_claim_block())


def _claim_block() -> range:
    ports = _range()
    for first in random.sample(ports[::_BLOCK], len(ports[::_BLOCK])):
        claim = socket.socket(socket.AF_UNIX)
        try:
            claim.bind(f"\0stint-ports-{first}")
        except OSError:
            claim.close()
            continue
        _claims.append(claim)
        return range(first, min(first + _BLOCK, ports.stop))
    raise OSError("no port is free on 127.0.0.1")


def _range() -> range:
    text = Path("/proc/sys/net/ipv4/ip_local_port_range").read_text(encoding="ascii")
    lowest = int(text.split()[0])
    return range(10_000, lowest) if lowest > 12_000 else range(10_000, 65_536)


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
