"""Small pictures: a screenshot with at most 256 colors, one byte a pixel. Nothing but zlib is needed for that."""

from __future__ import annotations

import struct
import zlib
from collections import Counter
from collections.abc import Iterator

SIGNATURE = b"\x89PNG\r\n\x1a\n"


def with_palette(png: bytes) -> bytes:
    """Return a screenshot (8 bits a channel, RGB or RGBA, not interlaced) with its 256 best colors.

    Raises ValueError for another kind of PNG.
    """
    width, height, rows = _pixels(png)
    counted = Counter(pixel for row in rows for pixel in row)
    palette = [color for color, _ in counted.most_common(256)]
    index = {color: number for number, color in enumerate(palette)}
    for color in counted:
        if color not in index:
            index[color] = min(range(len(palette)), key=lambda number: _distance(color, palette[number]))
    data = b"".join(b"\0" + bytes(index[pixel] for pixel in row) for row in rows)
    return b"".join((
        SIGNATURE,
        _chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0)),
        _chunk(b"PLTE", b"".join(bytes(color) for color in palette)),
        _chunk(b"IDAT", zlib.compress(data, 9)),
        _chunk(b"IEND", b""),
    ))  # fmt: skip


def _distance(one: tuple[int, int, int], other: tuple[int, int, int]) -> int:
    return sum((a - b) ** 2 for a, b in zip(one, other, strict=True))


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _chunks(png: bytes) -> Iterator[tuple[bytes, bytes]]:
    at = len(SIGNATURE)
    while at < len(png):
        (length,) = struct.unpack_from(">I", png, at)
        yield png[at + 4 : at + 8], png[at + 8 : at + 8 + length]
        at += length + 12


def _pixels(png: bytes) -> tuple[int, int, list[list[tuple[int, int, int]]]]:
    chunks = list(_chunks(png))
    width, height, depth, kind, *_, interlaced = struct.unpack(">IIBBBBB", dict(chunks)[b"IHDR"])
    if depth != 8 or kind not in (2, 6) or interlaced:
        raise ValueError("That is not the kind of PNG that a browser's screenshot is.")
    size = 3 if kind == 2 else 4
    raw = zlib.decompress(b"".join(data for name, data in chunks if name == b"IDAT"))
    rows, above = [], bytearray(width * size)
    for number in range(height):
        start = number * (width * size + 1)
        row = _unfiltered(raw[start], bytearray(raw[start + 1 : start + 1 + width * size]), above, size)
        rows.append([(row[at], row[at + 1], row[at + 2]) for at in range(0, width * size, size)])
        above = row
    return width, height, rows


def _unfiltered(kind: int, row: bytearray, above: bytearray, size: int) -> bytearray:
    """Undo one of the five filters of a row (https://www.w3.org/TR/png-3/#9Filters)."""
    for at in range(len(row)):
        left = row[at - size] if at >= size else 0
        corner = above[at - size] if at >= size else 0
        up = above[at]
        add = (0, left, up, (left + up) // 2, _paeth(left, up, corner))[kind]
        row[at] = (row[at] + add) & 255
    return row


def _paeth(left: int, up: int, corner: int) -> int:
    guess = left + up - corner
    return min((left, up, corner), key=lambda each: abs(guess - each))
