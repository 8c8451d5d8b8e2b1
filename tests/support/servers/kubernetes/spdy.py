"""SPDY/3.1 as far as port-forward needs it: streams that are opened, replied to, written to and ended.

Source: draft-mbelshe-httpbis-spdy-00 (frames, and the dictionary of §2.6.10.1). There is no flow control:
kubectl's library has none either.
"""

import struct
import threading
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

SYN_STREAM, SYN_REPLY, RST_STREAM, PING, GOAWAY = 1, 2, 3, 6, 7
FIN = 1
_WORDS = """
options, head, post, put, delete, trace, accept, accept-charset, accept-encoding, accept-language,
accept-ranges, age, allow, authorization, cache-control, connection, content-base, content-encoding,
content-language, content-length, content-location, content-md5, content-range, content-type, date,
etag, expect, expires, from, host, if-match, if-modified-since, if-none-match, if-range,
if-unmodified-since, last-modified, location, max-forwards, pragma, proxy-authenticate,
proxy-authorization, range, referer, retry-after, server, te, trailer, transfer-encoding, upgrade,
user-agent, vary, via, warning, www-authenticate, method, get, status, 200 OK, version, HTTP/1.1, url,
public, set-cookie, keep-alive, origin
"""
_NUMBERS = (
    b"100101201202205206300302303304305306307402405406407408409410411412413414415416417502504505203 Non-Au"
    b"thoritative Information204 No Content301 Moved Permanently400 Bad Request401 Unauthorized403 Forbidd"
    b"en404 Not Found500 Internal Server Error501 Not Implemented503 Service UnavailableJan Feb Mar Apr Ma"
    b"y Jun Jul Aug Sept Oct Nov Dec 00:00:00 Mon, Tue, Wed, Thu, Fri, Sat, Sun, GMTchunked,text/html,imag"
    b"e/png,image/jpg,image/gif,application/xml,application/xhtml+xml,text/plain,text/javascript,publicpri"
    b"vatemax-age=gzip,deflate,sdchcharset=utf-8charset=iso-8859-1,utf-,*,enq=0."
)
DICTIONARY = (
    b"".join(
        struct.pack(">I", len(word)) + word.encode() for word in _WORDS.replace("\n", " ").strip().split(", ")
    )
    + _NUMBERS
)


@dataclass
class Frame:
    """One frame. `kind` is 0 for data; `headers` are those of a SYN_STREAM or SYN_REPLY."""

    kind: int
    stream: int
    flags: int = 0
    data: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)


class Session:
    """One end of a connection: parses frames from pieces of bytes, and writes them by `send`, from any
    thread.
    """

    def __init__(self, send: Callable[[bytes], None]) -> None:
        self._send, self._lock = send, threading.Lock()
        self._packing, self._unpacking = (
            zlib.compressobj(zdict=DICTIONARY),
            zlib.decompressobj(zdict=DICTIONARY),
        )

    def frames(self, pieces: Iterable[bytes]) -> Iterator[Frame]:
        """Yield the frames in the incoming pieces, each of which may have several frames, or part of one."""
        kept = b""
        for piece in pieces:
            kept += piece
            while len(kept) >= 8 and len(kept) >= 8 + (size := int.from_bytes(kept[5:8])):
                yield self._read(kept[:8], kept[8 : 8 + size])
                kept = kept[8 + size :]

    def _read(self, head: bytes, body: bytes) -> Frame:
        first, flags = int.from_bytes(head[:4]), head[4]
        if not first >> 31:
            return Frame(0, first, flags, body)
        kind, stream = first & 0xFFFF, int.from_bytes(body[:4]) & 0x7FFFFFFF
        if kind not in (SYN_STREAM, SYN_REPLY):
            return Frame(kind, stream, flags, body)
        packed = body[10:] if kind == SYN_STREAM else body[4:]
        return Frame(kind, stream, flags, headers=_headers(self._unpacking.decompress(packed)))

    def open(self, stream: int, headers: dict[str, str], *, fin: bool = False) -> None:
        self._with_headers(SYN_STREAM, struct.pack(">IIH", stream, 0, 0), headers, FIN if fin else 0)

    def reply(self, stream: int, headers: dict[str, str] | None = None) -> None:
        self._with_headers(SYN_REPLY, struct.pack(">I", stream), headers or {}, 0)

    def write(self, stream: int, data: bytes = b"", *, fin: bool = False) -> None:
        head = struct.pack(">I", stream) + bytes([FIN if fin else 0]) + len(data).to_bytes(3)
        with self._lock:
            self._send(head + data)

    def reset(self, stream: int) -> None:
        self._control(RST_STREAM, struct.pack(">II", stream, 5))

    def pong(self, ping: bytes) -> None:
        self._control(PING, ping)

    def _with_headers(self, kind: int, start: bytes, headers: dict[str, str], flags: int) -> None:
        text = struct.pack(">I", len(headers))
        for part in (part.encode() for pair in headers.items() for part in pair):
            text += struct.pack(">I", len(part)) + part
        with self._lock:  # Compress and send in the same order: both ends share the state of zlib.
            packed = self._packing.compress(text) + self._packing.flush(zlib.Z_SYNC_FLUSH)
            self._send(_control(kind, start + packed, flags))

    def _control(self, kind: int, body: bytes) -> None:
        with self._lock:
            self._send(_control(kind, body, 0))


def _control(kind: int, body: bytes, flags: int) -> bytes:
    return struct.pack(">HHB", 0x8003, kind, flags) + len(body).to_bytes(3) + body


def _headers(text: bytes) -> dict[str, str]:
    parts, at = [], 4
    for _ in range(2 * int.from_bytes(text[:4])):
        size = int.from_bytes(text[at : at + 4])
        parts.append(text[at + 4 : at + 4 + size].decode())
        at += 4 + size
    return {name.lower(): value for name, value in zip(parts[::2], parts[1::2], strict=True)}
