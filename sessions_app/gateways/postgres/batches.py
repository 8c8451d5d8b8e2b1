"""Batches as drivers send them to run a prepared statement: Bind, mostly Describe, Execute and Sync, all for
the unnamed portal; and the answers to such batches.

A batch that repeats a read is handled as one message, and so is its answer if all of it has arrived.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import NamedTuple

from sessions_app.gateways.postgres import wire

# The end of a batch, and of its answer outside of transaction blocks.
END, READY = wire.execute("") + wire.SYNC, wire.message(wire.READY, b"I")
_DESCRIBE, _BOUND = wire.describe(b"P", ""), wire.message(wire.BIND_COMPLETE)
_HEAD = struct.Struct("!cI")
# Bytes of a message's length, which count themselves.
_LENGTH = 4


class Batch(NamedTuple):
    """A batch: the name of its statement, the format of each value, and the values. A Describe may follow."""

    statement: str
    formats: Sequence[int]
    values: Sequence[bytes | None]
    described: bool


class Result(NamedTuple):
    """The answer to a batch: the number of its rows, their size in bytes, and its CommandComplete."""

    rows: int
    size: int
    complete: bytes


class Batches:
    """Reads the batches of one client. Most of them differ only in their values from the one before, so what
    is around the values is parsed once.
    """

    def __init__(self) -> None:
        self._last: Batch | None = None
        # Of the last batch: what is between the length of its Bind and its values, what follows the values,
        # and the size of what follows the Bind.
        self._head, self._tail, self._after = b"", b"", 0

    def read(self, data: bytes) -> Batch | None:
        """Return the batch that this data is; None if it is anything else. The data must end with ``END``.

        Raises ProtocolError.
        """
        last = self._last
        end = 1 + int.from_bytes(data[1 : wire.HEAD], "big")
        if data[:1] != b"B":
            return None
        if last is not None and end + self._after == len(data) and data.startswith(self._head, wire.HEAD):
            values, after = wire.read_values(data, wire.HEAD + len(self._head))
            if len(values) == len(last.values) and data[after:] == self._tail:
                return Batch(last.statement, last.formats, values, last.described)
        return self._parsed(data, end)

    def _parsed(self, data: bytes, end: int) -> Batch | None:
        described = data.startswith(_DESCRIBE, end)
        if end < wire.HEAD or end + len(END) + (len(_DESCRIBE) if described else 0) != len(data):
            return None
        asked = wire.read_bind(data[wire.HEAD : end])
        if asked.portal:
            return None
        start = end - len(asked.fields)
        self._head, self._tail = data[wire.HEAD : start + asked.start], data[start + asked.results :]
        self._after = len(data) - end
        self._last = Batch(asked.statement, asked.formats, asked.values, described)
        return self._last


def read_result(data: bytes, *, described: bool) -> Result | None:
    """Return the result that this data is. The data must end with ``READY``.

    Return None for everything that is not the usual answer, such as errors and notices.
    """
    at, rows, size = len(_BOUND), 0, 0
    try:
        kind, length = _HEAD.unpack_from(data, at)
        if described and kind == wire.ROW_DESCRIPTION:
            at += 1 + length
            kind, length = _HEAD.unpack_from(data, at)
        elif described:
            return None
        while kind == wire.DATA_ROW:
            rows, size, at = rows + 1, size + length - _LENGTH, at + 1 + length
            kind, length = _HEAD.unpack_from(data, at)
    except struct.error:
        return None
    end = at + 1 + length
    if kind != wire.COMMAND_COMPLETE or end + len(READY) != len(data) or not data.startswith(_BOUND):
        return None
    return Result(rows, size, data[at:end])
