"""Messages of PostgreSQL's protocol: what is read is what was written, and nothing else is accepted."""

import asyncio
import struct

import pytest

from sessions_app.gateways.postgres import wire
from sessions_app.gateways.postgres.wire import Closed, Fields, Messages, ProtocolError


def read(data: bytes, *, most: int = 100, pieces: int = 1000) -> list[tuple[bytes, bytes]]:
    """Return the messages in a stream that arrives in pieces of this size."""

    async def all_of_them() -> list[tuple[bytes, bytes]]:
        reader = asyncio.StreamReader()
        messages, found = Messages(reader, most=most), []
        for at in range(0, len(data), pieces):
            reader.feed_data(data[at : at + pieces])
        reader.feed_eof()
        while True:
            try:
                found.append(await messages.next())
            except Closed:
                return found

    return asyncio.run(all_of_them())


@pytest.mark.parametrize("pieces", [1, 3, 1000])
def test_messages_are_whole_however_they_arrive(pieces):
    stream = wire.message(b"Q", wire.string("SELECT 1")) + wire.SYNC + wire.TERMINATE
    assert read(stream, pieces=pieces) == [(b"Q", b"SELECT 1\0"), (b"S", b""), (b"X", b"")]


@pytest.mark.parametrize("length", [0, 3, 101, 2**31, 2**32 - 1])
def test_a_length_that_is_impossible_or_over_the_limit_ends_the_connection(length):
    with pytest.raises(ProtocolError, match="limit is 100"):
        read(b"Q" + struct.pack("!I", length))


def test_half_a_message_is_none():
    assert read(wire.message(b"Q", b"SELECT 1\0")[:-1]) == []


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"p",
        b"p\0s",
        b"p\0s\0",
        b"p\0s\0\0\0",
        b"p\0s\0\0\0\0\1\0\0\0\5abc\0\0",
        b"p\0s\0\0\0\0\1\xff\xff\xff\xfe\0\0",
        b"p\0s\0\0\0\0\0\0\1",
        b"p\0s\0\0\0\0\0\0\0x",
        b"p\0s\0\0\1\0\2\0\0\0\0",
        b"p\0s\0\0\2\0\0\0\0\0\1\0\0\0\1x\0\0",
        b"\xff\0s\0\0\0\0\0\0\0",
    ],
)
def test_a_bind_that_is_cut_off_or_contradicts_itself_is_refused(content):
    with pytest.raises(ProtocolError):
        wire.read_bind(content)


def test_one_format_is_that_of_all_values():
    values = b"".join(struct.pack("!i", len(one)) + one for one in (b"a", b"bc"))
    tail = struct.pack("!H", 2) + values + struct.pack("!i", -1) + struct.pack("!HH", 1, 1)
    found = wire.read_bind(b"p\0s\0" + struct.pack("!HH", 1, 1) + tail.replace(b"\0\2", b"\0\3", 1))
    assert (found.portal, found.statement) == ("p", "s")
    assert (list(found.formats), list(found.values)) == ([1, 1, 1], [b"a", b"bc", None])


def test_a_bind_under_other_names_is_otherwise_the_same():
    asked = wire.Bind("p", "s", [0, 1], [None, b"\0\0\0\7"], struct.pack("!HH", 1, 1))
    again = wire.read_bind(asked.encoded("other", "name")[wire.HEAD :])
    assert (again.portal, again.statement) == ("other", "name")
    assert (list(again.formats), list(again.values), again.rest) == ([0, 1], [None, b"\0\0\0\7"], asked.rest)


def test_an_error_has_its_fields_and_no_text_can_end_one_early():
    said = wire.read_error(wire.error("42501", "no\0Cxxxxx", detail="Nearest: x", hint="here")[wire.HEAD :])
    assert said == {
        "S": "ERROR",
        "V": "ERROR",
        "C": "42501",
        "M": "noCxxxxx",
        "D": "Nearest: x",
        "H": "here",
    }


def test_a_message_with_more_than_its_fields_is_refused():
    fields = Fields(b"name\0x")
    assert fields.string() == "name"
    with pytest.raises(ProtocolError, match="longer"):
        fields.end()
