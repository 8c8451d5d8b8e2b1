"""Packets of SFTP version 3. Source: draft-ietf-secsh-filexfer-02."""

from __future__ import annotations

import struct
from dataclasses import dataclass

VERSION = 3
# In bytes. OpenSSH accepts packets of this size, and sends data of this size if the server offers it.
LONGEST_PACKET, LONGEST_DATA = 262_144, 261_120

INIT, VERSION_REPLY, OPEN, CLOSE, READ, WRITE, LSTAT, FSTAT = 1, 2, 3, 4, 5, 6, 7, 8
SETSTAT, FSETSTAT, OPENDIR, READDIR, REMOVE, MKDIR, RMDIR, REALPATH = 9, 10, 11, 12, 13, 14, 15, 16
STAT, RENAME, READLINK, SYMLINK = 17, 18, 19, 20
STATUS, HANDLE, DATA, NAME, ATTRS, EXTENDED, EXTENDED_REPLY = 101, 102, 103, 104, 105, 200, 201

OK, EOF, NO_SUCH_FILE, PERMISSION_DENIED, FAILURE, BAD_MESSAGE, UNSUPPORTED = 0, 1, 2, 3, 4, 5, 8
_TEXTS = {OK: "Success", EOF: "End of file"}

WANTS_READ, WANTS_WRITE, APPENDS = 0x1, 0x2, 0x4
_HAS_SIZE, _HAS_OWNER, _HAS_MODE, _HAS_TIMES, _HAS_MORE = 0x1, 0x2, 0x4, 0x8, 0x8000_0000

FOLDER, FILE = 0o040000, 0o100000


class BadPacket(ValueError):
    """Bytes that are not a packet of this protocol. The connection can't continue."""


@dataclass(frozen=True, slots=True)
class Attributes:
    """The known attributes of a file: its size in bytes, its mode including its type as in stat(2), and its
    time in epoch seconds.
    """

    mode: int | None = None
    size: int | None = None
    time: int | None = None

    def encoded(self) -> bytes:
        """The attributes in packet form."""
        flags, parts = 0, b""
        if self.size is not None:
            flags, parts = flags | _HAS_SIZE, struct.pack(">Q", self.size)
        if self.mode is not None:
            flags, parts = flags | _HAS_MODE, parts + struct.pack(">I", self.mode)
        if self.time is not None:
            time = max(0, min(self.time, 2**32 - 1))
            flags, parts = flags | _HAS_TIMES, parts + struct.pack(">II", time, time)
        return struct.pack(">I", flags) + parts


class Packet:
    """One packet from a client, read from its start.

    Every method raises BadPacket if the packet is too short.
    """

    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0
        self.type = self._take(1)[0]

    def number(self) -> int:
        """Read 32 bits."""
        return int(struct.unpack(">I", self._take(4))[0])

    def long(self) -> int:
        """Read 64 bits."""
        return int(struct.unpack(">Q", self._take(8))[0])

    def text(self) -> bytes:
        """Read a string."""
        return self._take(self.number())

    def attributes(self) -> Attributes:
        """Read attributes. Owners and extensions are dropped."""
        flags = self.number()
        size = self.long() if flags & _HAS_SIZE else None
        if flags & _HAS_OWNER:
            self._take(8)
        mode = self.number() if flags & _HAS_MODE else None
        time = (self.number(), self.number())[1] if flags & _HAS_TIMES else None
        for _ in range(min(self.number(), 64) if flags & _HAS_MORE else 0):
            self.text()
            self.text()
        return Attributes(mode, size, time)

    def end(self) -> None:
        """Check that nothing follows."""
        if self._at != len(self._data):
            raise BadPacket("the packet is too long")

    def _take(self, count: int) -> bytes:
        part = self._data[self._at : self._at + count]
        if len(part) < count:
            raise BadPacket("the packet is too short")
        self._at += count
        return part


def packet(kind: int, *parts: bytes) -> bytes:
    """Return a packet with its length."""
    return b"".join((struct.pack(">IB", 1 + sum(map(len, parts)), kind), *parts))


def reply(kind: int, id_: int, *parts: bytes) -> bytes:
    """Return a reply to the request with this id."""
    return packet(kind, struct.pack(">I", id_), *parts)


def data(id_: int, part: bytes) -> bytes:
    """Return a reply with a part of a file."""
    return reply(DATA, id_, struct.pack(">I", len(part)), part)


def string(data: bytes) -> bytes:
    """Return a string in packet form."""
    return struct.pack(">I", len(data)) + data


def status(id_: int, code: int, text: str = "") -> bytes:
    """Return a status with its message."""
    said = (text or _TEXTS.get(code, "Failure")).encode("utf-8", "replace")
    return reply(STATUS, id_, struct.pack(">I", code), string(said), string(b""))


def names(id_: int, found: list[tuple[str, str, Attributes]]) -> bytes:
    """Return a reply with names, each with its line as `ls -l` shows it."""
    parts = [string(name.encode()) + string(line.encode()) + about.encoded() for name, line, about in found]
    return reply(NAME, id_, struct.pack(">I", len(found)), *parts)


def version() -> bytes:
    """Return the reply to INIT: the version, and the extension with which clients can request the limits."""
    return packet(VERSION_REPLY, struct.pack(">I", VERSION), string(LIMITS), string(b"1"))


LIMITS = b"limits@openssh.com"


def limits(id_: int, handles: int) -> bytes:
    """Return the reply to `limits@openssh.com`. Source: OpenSSH, PROTOCOL, section 4.8."""
    return reply(
        EXTENDED_REPLY, id_, struct.pack(">QQQQ", LONGEST_PACKET, LONGEST_DATA, LONGEST_DATA, handles)
    )
