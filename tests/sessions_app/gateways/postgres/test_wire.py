"""Messages of PostgreSQL's protocol: what is read is what was written, and nothing else is accepted."""

import asyncio
import struct

import pytest

from sessions_app.gateways.postgres import wire
from sessions_app.gateways.postgres.streams import Pushing
from sessions_app.gateways.postgres.wire import Closed, Fields, Messages, ProtocolError, Rest


def read(data: bytes, *, most: int = 100, pieces: int = 1000) -> list[tuple[bytes, bytes]]:
    """Return the messages in a stream that arrives in pieces of this size."""

    async def all_of_them() -> list[tuple[bytes, bytes]]:
        reader = Pushing()
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


class Served:
    """A stream whose messages are served. A message of type Q has to be awaited until ``go_on`` is set."""

    def __init__(self) -> None:
        self.reader, self.found, self.go_on = Pushing(), [], asyncio.Event()
        self.messages = Messages(self.reader, most=100)

    def handle(self) -> Rest:
        while (found := self.messages.buffered()) is not None:
            if found[0] == b"Q":
                return self.later(found[1])
            self.found.append(found[0])
        return None

    async def later(self, content: bytes) -> None:
        await self.go_on.wait()
        self.found.append(content)

    async def begin(self) -> asyncio.Task[None]:
        task = asyncio.create_task(self.messages.serve(self.handle))
        await asyncio.sleep(0)
        return task


async def test_messages_are_handled_at_the_moment_they_arrive():
    served = Served()
    task = await served.begin()
    served.reader.feed_data(wire.SYNC + wire.FLUSH[:2])
    assert served.found == [b"S"]
    served.reader.feed_data(wire.FLUSH[2:])
    assert served.found == [b"S", b"H"]
    served.reader.feed_eof()
    with pytest.raises(Closed):
        await task


async def test_messages_wait_for_what_has_to_be_awaited_before_them():
    served = Served()
    task = await served.begin()
    served.reader.feed_data(wire.message(b"Q", b"one") + wire.SYNC)
    served.reader.feed_data(wire.FLUSH)
    await asyncio.sleep(0)
    served.reader.feed_data(wire.TERMINATE)
    served.reader.feed_eof()
    assert served.found == []
    served.go_on.set()
    with pytest.raises(Closed):
        await task
    assert served.found == [b"one", b"S", b"H", b"X"]


@pytest.mark.parametrize("early", [True, False])
async def test_an_invalid_message_ends_the_service(early):
    served = Served()
    if early:
        served.reader.feed_data(b"Q\0\0\0\0")
    task = await served.begin()
    if not early:
        served.reader.feed_data(b"Q\0\0\0\0")
    with pytest.raises(ProtocolError, match="limit is 100"):
        await task


async def test_nothing_is_awaited_after_a_cancellation():
    served = Served()
    task = await served.begin()
    served.go_on.set()
    served.reader.feed_data(wire.message(b"Q", b"one"))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert served.found == []


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
    values = struct.pack("!HHHHi", 2, 0, 1, 2, -1) + struct.pack("!i", 4) + b"\0\0\0\7"
    asked = wire.read_bind(b"p\0s\0" + values + struct.pack("!HH", 1, 1))
    again = wire.read_bind(asked.encoded("other", "name")[wire.HEAD :])
    assert (again.portal, again.statement) == ("other", "name")
    assert (list(again.formats), list(again.values)) == ([0, 1], [None, b"\0\0\0\7"])
    assert again.fields == asked.fields


@pytest.mark.parametrize(
    ("formats", "extended"),
    [((), ()), ((1,), (1,)), ((1, 0), (1, 0, 0, 0))],
    ids=["none", "one for all", "one for each"],
)
def test_a_bind_asks_for_more_columns_as_text(formats, extended):
    def packed(each: tuple[int, ...]) -> bytes:
        return struct.pack(f"!H{len(each)}H", len(each), *each)

    asked = wire.read_bind(b"p\0s\0" + struct.pack("!HHi", 0, 1, 1) + b"7" + packed(formats))
    assert asked.encoded("p", "s", 2).endswith(b"7" + packed(extended))
    assert asked.encoded("p", "s").endswith(b"7" + packed(formats))


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
