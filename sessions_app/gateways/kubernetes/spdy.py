"""The SPDY/3 frames that kubectl's port-forward sends inside a WebSocket: the streams that it opens, and
their ports.

Headers are parsed here and serialized anew, so the API server reads exactly the headers that were decided.
Source: https://www.chromium.org/spdy/spdy-protocol/spdy-protocol-draft3-1/ (§2.2, §2.6)
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field

_WORDS = (
    "options head post put delete trace accept accept-charset accept-encoding accept-language accept-ranges"
    " age allow authorization cache-control connection content-base content-encoding content-language"
    " content-length content-location content-md5 content-range content-type date etag expect expires from"
    " host if-match if-modified-since if-none-match if-range if-unmodified-since last-modified location"
    " max-forwards pragma proxy-authenticate proxy-authorization range referer retry-after server te trailer"
    " transfer-encoding upgrade user-agent vary via warning www-authenticate method get status 200_OK version"
    " HTTP/1.1 url public set-cookie keep-alive origin"
)
_TEXT = (
    "100101201202205206300302303304305306307402405406407408409410411412413414415416417502504505203 "
    "Non-Authoritative Information204 No Content301 Moved Permanently400 Bad Request401 Unauthorized403"
    " Forbidden404 "
    "Not Found500 Internal Server Error501 Not Implemented503 Service UnavailableJan Feb Mar Apr May Jun Jul"
    " Aug Sept "
    "Oct Nov Dec 00:00:00 Mon, Tue, Wed, Thu, Fri, Sat, Sun,"
    " GMTchunked,text/html,image/png,image/jpg,image/gif,"
    "application/xml,application/xhtml+xml,text/plain,text/javascript,publicprivatemax-age=gzip,deflate,sdchcharset="
    "utf-8charset=iso-8859-1,utf-,*,enq=0."
)
# §2.6.10.1: the dictionary for both sides' compression.
DICTIONARY = (
    b"".join(struct.pack(">I", len(word)) + word.replace("_", " ").encode() for word in _WORDS.split())
    + _TEXT.encode()
)
VERSION = 3
SYN_STREAM, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE = 1, 3, 4, 6, 7, 9
REFUSED_STREAM = 3
_HEAD = 8
# Maximum bytes of one control frame, and of its uncompressed headers.
_LARGEST, _MOST_HEADERS = 64 * 1024, 64 * 1024


class BadFrame(Exception):
    """Data that is not valid in this protocol."""


@dataclass(frozen=True, slots=True)
class Opening:
    """A stream that a client opens: its number, its headers, and the frame to forward if it is allowed."""

    stream: int
    headers: dict[str, str]
    frame: bytes


@dataclass(slots=True)
class Data:
    """Part of a stream's data. The first part begins with the frame's head."""

    stream: int
    part: bytes


@dataclass(slots=True)
class Other:
    """A control frame for an open stream or the connection."""

    frame: bytes


Item = Opening | Data | Other


@dataclass(slots=True)
class Frames:
    """Parses a client's data, in parts of any size."""

    _buffer: bytearray = field(default_factory=bytearray)
    _stream: int = 0
    _left: int = 0
    _inflate: zlib._Decompress = field(default_factory=lambda: zlib.decompressobj(zdict=DICTIONARY))
    _deflate: zlib._Compress = field(default_factory=lambda: zlib.compressobj(zdict=DICTIONARY))

    def feed(self, data: bytes) -> Iterator[Item]:
        """Yield the items that this part completes. Raises BadFrame."""
        self._buffer += data
        while self._buffer:
            if self._left:
                part = bytes(self._buffer[: self._left])
                del self._buffer[: len(part)]
                self._left -= len(part)
                yield Data(self._stream, part)
                continue
            if len(self._buffer) < _HEAD:
                return
            item = self._frame()
            if item is None:
                return
            yield item

    def _frame(self) -> Item | None:
        first, second = struct.unpack(">II", self._buffer[:_HEAD])
        length = second & 0xFFFFFF
        if not first >> 31:
            head = bytes(self._buffer[:_HEAD])
            del self._buffer[:_HEAD]
            self._stream, self._left = first, length
            return Data(first, head)
        if (first >> 16) & 0x7FFF != VERSION or length > _LARGEST:
            raise BadFrame("not a SPDY/3 frame")
        if len(self._buffer) < _HEAD + length:
            return None
        frame = bytes(self._buffer[: _HEAD + length])
        del self._buffer[: _HEAD + length]
        return self._control(first & 0xFFFF, frame)

    def _control(self, kind: int, frame: bytes) -> Item:
        if kind in (RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE):
            return Other(frame)
        if kind != SYN_STREAM or len(frame) < _HEAD + 10:
            raise BadFrame(f"a frame of type {kind}, which port-forward does not use")
        plain = self._plain(frame[_HEAD + 10 :])
        block = self._deflate.compress(plain) + self._deflate.flush(zlib.Z_SYNC_FLUSH)
        body = frame[_HEAD : _HEAD + 10] + block
        head = frame[:4] + struct.pack(">I", frame[4] << 24 | len(body))
        (stream,) = struct.unpack(">I", body[:4])
        return Opening(stream & 0x7FFFFFFF, _headers(plain), head + body)

    def _plain(self, block: bytes) -> bytes:
        try:
            plain = self._inflate.decompress(block, _MOST_HEADERS)
        except zlib.error:
            raise BadFrame("headers that can't be read") from None
        if self._inflate.unconsumed_tail:
            raise BadFrame("headers that are too large")
        return plain


def _headers(plain: bytes) -> dict[str, str]:
    found: dict[str, str] = {}
    try:
        (count,) = struct.unpack_from(">I", plain)
        at = 4
        for _ in range(count):
            pair = []
            for _ in range(2):
                (size,) = struct.unpack_from(">I", plain, at)
                pair.append(plain[at + 4 : at + 4 + size].decode("ascii"))
                at += 4 + size
            name, value = pair
            if name.lower() in found:
                raise BadFrame("a header is repeated")
            found[name.lower()] = value
    except (struct.error, UnicodeDecodeError):
        raise BadFrame("headers that can't be read") from None
    if at != len(plain):
        raise BadFrame("headers that can't be read")
    return found


def reset(stream: int) -> bytes:
    """Return the frame that refuses a stream."""
    return struct.pack(">HHIII", 0x8000 | VERSION, RST_STREAM, 8, stream, REFUSED_STREAM)


@dataclass(slots=True)
class Bounds:
    """Tracks where frames begin in an API server's data, which arrives in parts of any size."""

    _head: bytearray = field(default_factory=bytearray)
    _left: int = 0

    @property
    def between(self) -> bool:
        """Whether the last frame is complete, so that another frame may be inserted."""
        return not self._head and not self._left

    def feed(self, data: bytes) -> None:
        """Count a part that was passed on."""
        at = 0
        while at < len(data):
            if self._left:
                passed = min(self._left, len(data) - at)
                self._left -= passed
            else:
                passed = min(_HEAD - len(self._head), len(data) - at)
                self._head += data[at : at + passed]
                if len(self._head) == _HEAD:
                    self._left = int.from_bytes(self._head[5:])
                    self._head.clear()
            at += passed
