"""Messages of PostgreSQL's frontend/backend protocol, version 3.0, read strictly and with limits.

Source: PostgreSQL's documentation, "Message Formats" and "Error and Notice Message Fields".
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from sessions_app.gateways.postgres.streams import Pushing

# A type byte, then the length of the rest with its own four bytes.
HEAD = 5
_HEAD = struct.Struct("!cI")
_SHORT, _INTEGER = struct.Struct("!H"), struct.Struct("!i")
_SHORTER, _LONGER = "a message is shorter than its declared length", "a message is longer than its fields"
_READ = 64 * 1024
# What has to be awaited before the next message is handled; None if there is nothing.
Rest: TypeAlias = Coroutine[Any, Any, None] | None
TEXT, BINARY = 0, 1
_FORMATS = frozenset((TEXT, BINARY))
SSL_REQUEST, GSS_REQUEST, CANCEL_REQUEST, VERSION_3 = 80877103, 80877104, 80877102, 196608

PARSE_COMPLETE, BIND_COMPLETE, CLOSE_COMPLETE, NO_DATA = b"1", b"2", b"3", b"n"
COMMAND_COMPLETE, DATA_ROW, EMPTY, ERROR, NOTICE, SUSPENDED = b"C", b"D", b"I", b"E", b"N", b"s"
ROW_DESCRIPTION, PARAMETERS, READY, STATUS, NOTIFICATION = b"T", b"t", b"Z", b"S", b"A"
AUTHENTICATION, KEY_DATA = b"R", b"K"


class ProtocolError(Exception):
    """The other side sent something that the protocol does not allow, or more than the limit."""


class Closed(Exception):
    """The other side has closed the connection."""


class Messages:
    """Reads whole messages from a stream. ``most`` is the limit of one message, in bytes, and can change."""

    def __init__(self, reader: Pushing, *, most: int) -> None:
        self._reader, self.most = reader, most
        # Messages before ``_at`` were returned.
        self._buffer, self._at = bytearray(), 0

    async def next(self) -> tuple[bytes, bytes]:
        """Return the type and the content of the next message. Raises ProtocolError and Closed."""
        while (found := self.buffered()) is None:
            await self._read()
        return found

    async def serve(self, handle: Callable[[], Rest]) -> None:
        """Call ``handle`` whenever data has arrived, and await what it returns before the next call.

        It is called by this task, or directly as data arrives. It takes messages from ``buffered``; if it
        returns None, it has taken all. Raises Closed at the end of the stream, and the errors of ``handle``.
        """
        while True:
            rest = handle() or await self._arrived(handle)
            if rest is not None:
                await rest

    async def _arrived(self, handle: Callable[[], Rest]) -> Rest:
        """Handle all data that arrives, until something has to be awaited or read."""
        done: asyncio.Future[Rest] = asyncio.get_running_loop().create_future()

        def take(data: bytes | memoryview) -> None:
            self._buffer += data
            if done.done():
                return
            try:
                rest = handle() if data else None
            except Exception as error:  # noqa: BLE001  # raised in the task
                self._reader.push(None)
                done.set_exception(error)
                return
            if rest is not None or not data:
                self._reader.push(None)
                done.set_result(rest)

        if not self._reader.push(take):
            await self._read()
            return None
        try:
            return await done
        except asyncio.CancelledError:
            _drop(done)
            raise
        finally:
            self._reader.push(None)

    async def _read(self) -> None:
        piece = await self._reader.read(_READ)
        if not piece:
            raise Closed
        self._buffer += piece

    def buffered(self) -> tuple[bytes, bytes] | None:
        """Return the next message if all of it has arrived. Raises ProtocolError."""
        buffer, at = self._buffer, self._at
        left = len(buffer) - at
        if left >= HEAD:
            kind, length = _HEAD.unpack_from(buffer, at)
            if not 4 <= length <= self.most:
                raise ProtocolError(f"a message has {length} bytes, and the limit is {self.most}")
            if left > length:
                self._at = end = at + 1 + length
                return kind, bytes(buffer[at + HEAD : end])
        if at:
            del buffer[:at]
            self._at = 0
        return None

    def whole(self, end: bytes) -> bytes:
        """Return all data that has arrived, if it ends like this, and empty otherwise. It is not taken."""
        buffer = self._buffer
        return bytes(buffer) if buffer.endswith(end) and not self._at else b""

    def clear(self) -> None:
        """Take all data that has arrived."""
        self._buffer.clear()


def _drop(done: asyncio.Future[Rest]) -> None:
    """Drop what a task that is canceled does not await."""
    if not done.cancelled() and done.exception() is None and (rest := done.result()) is not None:
        rest.close()


class Fields:
    """Reads the fields of one message's content, in order. Every method raises ProtocolError."""

    def __init__(self, content: bytes) -> None:
        self._content, self._at = content, 0

    def string(self) -> str:
        """Return a string that ends with NUL. It must be UTF-8."""
        end = self._content.find(b"\0", self._at)
        if end < 0:
            raise ProtocolError("a string has no end")
        raw, self._at = self._content[self._at : end], end + 1
        try:
            return raw.decode()
        except UnicodeDecodeError as error:
            raise ProtocolError("a string is not UTF-8") from error

    def data(self, length: int) -> bytes:
        """Return this number of bytes."""
        if not 0 <= length <= len(self._content) - self._at:
            raise ProtocolError(_SHORTER)
        raw, self._at = self._content[self._at : self._at + length], self._at + length
        return raw

    def short(self) -> int:
        """Return an unsigned number of two bytes."""
        return self._number(_SHORT)

    def shorts(self) -> tuple[int, ...]:
        """Return unsigned numbers of two bytes, after their count."""
        count = self.short()
        return struct.unpack(f"!{count}H", self.data(2 * count)) if count else ()

    def integer(self) -> int:
        """Return a signed number of four bytes."""
        return self._number(_INTEGER)

    def _number(self, form: struct.Struct) -> int:
        try:
            (number,) = form.unpack_from(self._content, self._at)
        except struct.error as error:
            raise ProtocolError(_SHORTER) from error
        self._at += form.size
        return int(number)

    def oid(self) -> int:
        """Return an unsigned number of four bytes."""
        return int.from_bytes(self.data(4), "big")

    def value(self) -> bytes | None:
        """Return a value with its length; None for NULL."""
        length = self.integer()
        return None if length == -1 else self.data(length)

    def end(self) -> None:
        """Check that nothing follows."""
        if self._at != len(self._content):
            raise ProtocolError(_LONGER)

    @property
    def left(self) -> int:
        """The number of bytes that follow."""
        return len(self._content) - self._at


def message(kind: bytes, *parts: bytes) -> bytes:
    """Return a message with this type and content."""
    content = parts[0] if len(parts) == 1 else b"".join(parts)
    return _HEAD.pack(kind, len(content) + 4) + content


def string(text: str) -> bytes:
    """Return a string in message form."""
    return text.replace("\0", "").encode() + b"\0"


def error(code: str, text: str, *, severity: str = "ERROR", detail: str = "", hint: str = "") -> bytes:
    """Return an ErrorResponse."""
    return _said(ERROR, severity, code, text, detail, hint)


def notice(text: str, *, severity: str = "NOTICE", code: str = "00000") -> bytes:
    """Return a NoticeResponse."""
    return _said(NOTICE, severity, code, text, "", "")


def _said(kind: bytes, severity: str, code: str, text: str, detail: str, hint: str) -> bytes:
    fields = (("S", severity), ("V", severity), ("C", code), ("M", text), ("D", detail), ("H", hint))
    return message(kind, *(name.encode() + string(said) for name, said in fields if said), b"\0")


def split(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield the type and the content of each of these whole messages."""
    at = 0
    while at < len(data):
        end = at + 1 + int.from_bytes(data[at + 1 : at + HEAD], "big")
        yield data[at : at + 1], data[at + HEAD : end]
        at = end


def read_error(content: bytes) -> dict[str, str]:
    """Return the fields of an ErrorResponse or NoticeResponse by their letters. Raises ProtocolError."""
    fields, found = Fields(content), {}
    while (kind := fields.data(1)) != b"\0":
        found[kind.decode("latin-1")] = fields.string()
    return found


def startup(parameters: Mapping[str, str]) -> bytes:
    """Return a StartupMessage."""
    pairs = b"".join(string(name) + string(value) for name, value in parameters.items())
    return _untyped(struct.pack("!I", VERSION_3) + pairs + b"\0")


def cancel(key: bytes) -> bytes:
    """Return a CancelRequest for the content of a BackendKeyData."""
    return _untyped(struct.pack("!I", CANCEL_REQUEST) + key)


def ssl_request() -> bytes:
    """Return an SSLRequest."""
    return _untyped(struct.pack("!I", SSL_REQUEST))


def _untyped(content: bytes) -> bytes:
    return struct.pack("!I", len(content) + 4) + content


def parse(name: str, text: str, types: Iterable[int] = ()) -> bytes:
    """Return a Parse message."""
    known = list(types)
    return message(b"P", string(name), string(text), struct.pack(f"!H{len(known)}I", len(known), *known))


@dataclass(slots=True)
class Bind:
    """A Bind message: its names, the format of each value, and the values. ``fields`` has all but the names,
    encoded, with the values from ``start``, and the result formats from ``results``.
    """

    portal: str
    statement: str
    formats: Sequence[int]
    values: Sequence[bytes | None]
    fields: bytes
    start: int
    results: int

    def encoded(self, portal: str, statement: str, more: int = 0) -> bytes:
        """Return the message with other names, for a statement that also returns ``more`` columns of text."""
        fields, at = self.fields, self.results
        if more and (said := Fields(fields[at:]).short()) > 1:
            fields = fields[:at] + struct.pack("!H", said + more) + fields[at + 2 :] + bytes(2 * more)
        return message(b"B", string(portal), string(statement), fields)


def bind(portal: str, statement: str, values: Sequence[bytes] = ()) -> bytes:
    """Return a Bind message with values and results as text."""
    each = b"".join(struct.pack("!i", len(one)) + one for one in values)
    count = struct.pack("!HH", 0, len(values))
    return message(b"B", string(portal), string(statement), count, each, bytes(2))


def read_bind(content: bytes) -> Bind:
    """Return a Bind message, with one format for each value. Raises ProtocolError."""
    names = content.split(b"\0", 2)
    if len(names) != 3:
        raise ProtocolError("a string has no end")
    fields = names[2]
    try:
        portal, statement = names[0].decode(), names[1].decode()
        formats, start = _shorts(fields, 0)
        values, results = read_values(fields, start)
        _, end = _shorts(fields, results)
    except UnicodeDecodeError as error:
        raise ProtocolError("a string is not UTF-8") from error
    if end < len(fields):
        raise ProtocolError(_LONGER)
    if len(formats) not in (0, 1, len(values)) or not _FORMATS.issuperset(formats):
        raise ProtocolError("a Bind message has impossible formats")
    each = formats if len(formats) == len(values) else (formats or (TEXT,)) * len(values)
    return Bind(portal, statement, each, values, fields, start, results)


def _shorts(data: bytes, at: int) -> tuple[tuple[int, ...], int]:
    """Return unsigned numbers of two bytes, after their count, and where they end. Raises ProtocolError."""
    try:
        (count,) = _SHORT.unpack_from(data, at)
        return struct.unpack_from(f"!{count}H", data, at + 2) if count else (), at + 2 + 2 * count
    except struct.error as error:
        raise ProtocolError(_SHORTER) from error


def read_values(data: bytes, at: int) -> tuple[list[bytes | None], int]:
    """Return values with their lengths, after their count, and where they end. Raises ProtocolError."""
    values: list[bytes | None] = []
    try:
        (count,) = _SHORT.unpack_from(data, at)
        at += 2
        for _ in range(count):
            (length,) = _INTEGER.unpack_from(data, at)
            at += 4
            end = at + length if length != -1 else at
            if not at <= end <= len(data):
                raise ProtocolError(_SHORTER)
            values.append(data[at:end] if length != -1 else None)
            at = end
    except struct.error as error:
        raise ProtocolError(_SHORTER) from error
    return values, at


# In a RowDescription, the bytes of a column after its name.
_COLUMN = 18


def split_description(content: bytes, last: int) -> bytes:
    """Return a RowDescription without its last columns; empty if there are no others. Raises
    ProtocolError.
    """
    fields = Fields(content)
    kept = _kept(fields, last)
    for _ in range(kept):
        fields.string()
        fields.data(_COLUMN)
    return struct.pack("!H", kept) + content[2 : len(content) - fields.left] if kept else b""


def split_row(content: bytes, last: int) -> tuple[bytes, list[bytes | None]]:
    """Return a DataRow without its last columns, empty if there are no others, and the values of those.
    Raises ProtocolError.
    """
    fields = Fields(content)
    kept = _kept(fields, last)
    for _ in range(kept):
        fields.value()
    row = struct.pack("!H", kept) + content[2 : len(content) - fields.left] if kept else b""
    return row, [fields.value() for _ in range(last)]


def _kept(fields: Fields, last: int) -> int:
    count = fields.short()
    if count < last:
        raise ProtocolError("a row has too few columns")
    return count - last


def describe(kind: bytes, name: str) -> bytes:
    """Return a Describe message for a statement (S) or a portal (P)."""
    return message(b"D", kind, string(name))


def close(kind: bytes, name: str) -> bytes:
    """Return a Close message for a statement (S) or a portal (P)."""
    return message(b"C", kind, string(name))


def execute(portal: str, limit: int = 0) -> bytes:
    """Return an Execute message. ``limit`` 0 returns all rows."""
    return message(b"E", string(portal), struct.pack("!i", limit))


SYNC, FLUSH, TERMINATE = message(b"S"), message(b"H"), message(b"X")
