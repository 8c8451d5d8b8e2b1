"""The account that opened a connection on this machine."""

from __future__ import annotations

import socket
import struct
import sys
from pathlib import Path

_TABLE = Path("/proc/net/tcp")


def are_known() -> bool:
    """Whether this system shows whose a connection is."""
    return _TABLE.exists()


def uid_of(peer: tuple[str, int], here: tuple[str, int]) -> int | None:
    """Return the user ID of the process that connected from ``peer`` to ``here``, both IPv4; None if there is
    no such connection. Source: proc_pid_net(5).
    """
    wanted = [_written(peer), _written(here)]
    for line in _TABLE.read_text(encoding="ascii").splitlines()[1:]:
        words = line.split()
        if words[1:3] == wanted:
            return int(words[7])
    return None


def _written(place: tuple[str, int]) -> str:
    """Return an address as the kernel writes it: the number in the byte order of the machine."""
    (number,) = struct.unpack("<I" if sys.byteorder == "little" else ">I", socket.inet_aton(place[0]))
    return f"{number:08X}:{place[1]:04X}"
