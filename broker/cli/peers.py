"""The account that opened a connection on this machine."""

from __future__ import annotations

import socket
import struct
import sys
from pathlib import Path

# The second one has the connections of programs that use IPv6 sockets for IPv4 as well, such as Java's.
_TABLES = (Path("/proc/net/tcp"), Path("/proc/net/tcp6"))
_ESTABLISHED = "01"


def are_known() -> bool:
    """Whether this system shows whose a connection is."""
    return _TABLES[0].exists()


def uid_of(peer: tuple[str, int], here: tuple[str, int]) -> int | None:
    """Return the user ID of the process that connected from ``peer`` to ``here``, both IPv4; None if there is
    no such connection, or if its process has closed it: the kernel then shows another owner. Source:
    proc_pid_net(5).
    """
    plain = [_written(peer), _written(here)]
    wanted = (plain, [f"{_mapped()}{one}" for one in plain])
    for table in filter(Path.exists, _TABLES):
        for line in table.read_text(encoding="ascii").splitlines()[1:]:
            words = line.split()
            if words[1:3] in wanted and words[3] == _ESTABLISHED:
                return int(words[7])
    return None


def _mapped() -> str:
    """Return the first 96 bits of an IPv4 address in IPv6 form, as the kernel writes them (RFC 4291)."""
    return "0" * 16 + ("FFFF0000" if sys.byteorder == "little" else "0000FFFF")


def _written(place: tuple[str, int]) -> str:
    """Return an address as the kernel writes it: the number in the byte order of the machine."""
    (number,) = struct.unpack("<I" if sys.byteorder == "little" else ">I", socket.inet_aton(place[0]))
    return f"{number:08X}:{place[1]:04X}"
