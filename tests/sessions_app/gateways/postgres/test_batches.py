"""Batches of one prepared statement: what is read of them, and that a repeated read has the same effects
whether it is handled as a batch or message by message.
"""

import asyncio
import datetime as dt
import itertools
import re
import struct
from collections.abc import Iterator, Sequence
from contextlib import suppress
from functools import partial
from types import SimpleNamespace
from typing import Any, Self

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sessions_app.connectors.base import TargetFacts, TargetSpec
from sessions_app.connectors.postgres.parameters import PostgresParameters
from sessions_app.gateways.core.clock import LoopClock
from sessions_app.gateways.core.registry import OpenSession
from sessions_app.gateways.postgres import wire
from sessions_app.gateways.postgres.batches import END, READY, Batches, read_result
from sessions_app.gateways.postgres.conversation import Conversation
from sessions_app.gateways.postgres.streams import Pushing
from sessions_app.gateways.postgres.wire import Messages, ProtocolError
from sessions_app.operations.sessions.try_command import Tried
from sessions_app.policy.commands.postgres.statements import prepare
from tests.sessions_app.policy.commands.postgres.statement_sets import compiled

DESCRIBE = wire.describe(b"P", "")


def bind(
    values: Sequence[bytes | None],
    formats: Sequence[int] = (),
    results: Sequence[int] = (),
    *,
    statement: bytes = b"s",
    portal: bytes = b"",
) -> bytes:
    """Return a Bind message."""
    each = [struct.pack("!i", -1) if one is None else struct.pack("!i", len(one)) + one for one in values]
    return wire.message(
        b"B",
        portal + b"\0" + statement + b"\0",
        struct.pack(f"!H{len(formats)}H", len(formats), *formats),
        struct.pack("!H", len(values)),
        *each,
        struct.pack(f"!H{len(results)}H", len(results), *results),
    )


VALUES = ((b"7",), (b"12",), (b"",), (None,), (b"7", b"8"), ())
PIECES = (b"", b"\0", b"\1", b"\x11", b"x", b"\0\0", b"\0\0\0\0")


def near(data: bytes) -> Iterator[bytes]:
    """Yield a batch, and what it becomes if some bytes are changed, added or removed before its end."""
    yield data
    for at, size, piece in itertools.product(range(len(data) - len(END)), (0, 1, 2), PIECES):
        if (changed := data[:at] + piece + data[at + size :]).endswith(END):
            yield changed


def by_messages(data: bytes) -> tuple[wire.Bind, bool] | None:
    """Return the Bind of a batch, and whether a Describe follows, read message by message."""
    found = list(wire.split(data))
    kinds = [kind for kind, _ in found]
    if kinds not in ([b"B", b"E", b"S"], [b"B", b"D", b"E", b"S"]):
        return None
    if b"".join(wire.message(*one) for one in found) != data or (b"D" in kinds and DESCRIBE not in data):
        return None
    asked = wire.read_bind(found[0][1])
    return None if asked.portal else (asked, b"D" in kinds)


@pytest.mark.parametrize("described", [True, False])
@pytest.mark.parametrize(("formats", "results"), [((), ()), ((1,), (1,)), ((0, 1), (0,)), ((), (0, 1))])
def test_a_batch_is_read_as_its_messages_are_whatever_came_before_it(formats, results, described):
    after = (DESCRIBE if described else b"") + END
    for values in VALUES:
        for data in near(bind(values, formats, results) + after):
            reader = Batches()
            with suppress(ProtocolError):
                reader.read(bind((b"7",) * max(1, len(formats)), formats, results) + after)
            check(reader, data)


def check(reader: Batches, data: bytes) -> None:
    """Check that a batch is read like its messages."""
    found = expected = None
    with suppress(ProtocolError):
        expected = by_messages(data)
    with suppress(ProtocolError):
        found = reader.read(data)
    assert (found is None) == (expected is None), data
    if found is not None and expected is not None:
        asked, described = expected
        assert found == (asked.statement, asked.formats, asked.values, described)
        # What is sent to the target is what the gateway itself would write.
        assert data == asked.encoded("", asked.statement) + (DESCRIBE if described else b"") + END


MESSAGE = st.sampled_from(
    (
        wire.message(b"2"),
        wire.message(b"T", b"\0\0"),
        wire.message(b"D", b"\0\1\0\0\0\1x"),
        wire.message(b"D", b"\0\0"),
        wire.message(b"C", b"SELECT 2\0"),
        wire.error("22012", "division by zero"),
        wire.notice("hello"),
        wire.message(b"n"),
        b"D\0\0\0\3",
        b"C\0\0\1\0",
        b"",
    )
)
USUAL = (
    wire.message(b"2"),
    wire.message(b"T", b"\0\0"),
    *[wire.message(b"D", b"\0\1\0\0\0\1x")] * 2,
    wire.message(b"C", b"SELECT 2\0"),
)


@given(st.lists(MESSAGE, max_size=6) | st.just(list(USUAL)) | st.just([USUAL[0], *USUAL[2:]]), st.booleans())
def test_only_the_usual_answer_is_a_result(messages, described):
    data = b"".join(messages) + READY
    found = read_result(data, described=described)
    kinds = b"".join(one[:1] for one in messages).replace(b"D", b"")
    whole = all(len(one) == 1 + int.from_bytes(one[1:5], "big") for one in messages)
    in_order = b"".join(one[:1] for one in sorted(messages, key=lambda one: b"2TDC".find(one[:1])))
    usual = kinds == (b"2TC" if described else b"2C") and in_order == b"".join(one[:1] for one in messages)
    assert (found is not None) == (usual and whole), messages
    if found is not None:
        rows = [one for one in messages if one[:1] == b"D"]
        assert found == (len(rows), sum(len(one) - wire.HEAD for one in rows), messages[-1])


COMMANDS = compiled(
    {"select": {"tables": ["app.orders"], "columns": ["id"], "where": "required"}, "effect": "read"},
    {
        "sql": "UPDATE app.orders SET status = 'paid' WHERE id = {id}",
        "where": {"id": {"int": [1, 9]}},
        "effect": "change",
    },
    values={},
)
READ = "SELECT id FROM app.orders WHERE id = $1"


class Side:
    """One side of the connection: what the gateway sent to it, and its messages to the gateway."""

    def __init__(self) -> None:
        self.reader, self.sent = Pushing(), b""
        self.messages = Messages(self.reader, most=1 << 20)
        self.writer = self.transport = self
        self.gone, self.on_gone = False, None

    def write(self, data: bytes) -> None:
        self.sent += data

    def is_closing(self) -> bool:
        return False

    def get_write_buffer_size(self) -> int:
        return 0

    def close(self) -> None:
        pass

    def abort(self) -> None:
        pass


class Tally:
    """Keeps the lines that were counted."""

    def __init__(self) -> None:
        self.behind, self.lines = False, []

    def count(self, session: int, use: Any, decision: Any, now: Any) -> None:
        self.lines.append(decision.line)


class Recorded:
    """The recording of the connection: its lines."""

    def __init__(self) -> None:
        self.lines_of_it = []

    def lines(self, lines: Sequence[tuple[float, str]]) -> None:
        self.lines_of_it += [line for _, line in lines]

    def flush(self) -> None:
        pass

    def close(self) -> Any:
        return SimpleNamespace(path="", digest="", file_bytes=0, output_bytes=0)


class Talk:
    """A connection between a client and a target that are the test's. Reads of its prepared statement ``s``
    are in the record already, so they repeat.
    """

    def __init__(self) -> None:
        self.client, self.target, self.tally, self.recorded = Side(), Side(), Tally(), Recorded()
        self.ends: list[tuple[str, str]] = []
        self.grant = SimpleNamespace(over="", suspended=False)
        place = TargetSpec(
            cluster="db",
            target=TargetFacts(id=1, name="db-1", address="127.0.0.1", port=1, account="", host_key=""),
            parameters=PostgresParameters(database="shop", user="u", password="p"),
        )
        use = SimpleNamespace(
            compiled=COMMANDS, mark="GR-1", grant_ref="GR-1", place=place, target=place.target
        )
        session: Any = SimpleNamespace(id=7, use=use, grant=self.grant, closed=False, _closing="")
        session.enter = session.leave = session.close = lambda *_: None
        session.check = partial(OpenSession.check, session)
        node = SimpleNamespace(
            registry=SimpleNamespace(reports=self), clock=LoopClock(dt.datetime.now(dt.UTC), 0.0)
        )
        shared: Any = SimpleNamespace(node=node, database=self, tries=self)
        upstream: Any = self.target
        line: Any = self.client
        tally: Any = self.tally
        self.talk = Conversation(
            shared, session, line, line.messages, upstream, tally, self._drop, lambda _: self.recorded
        )

    def _drop(self, work: Any) -> None:
        work.close()

    def send(self, chain: Any, function: Any, *, state: str = "", reason: str = "", **more: Any) -> None:
        """Keep how a run of its own ended."""
        if state:
            self.ends.append((state, reason))

    async def run(self, *_: Any, **__: Any) -> Tried:
        """Record what is not counted."""
        allowed = prepare(COMMANDS, READ).bind(["1"]).allowed
        return Tried(
            run_id=1,
            session_id=7,
            line=allowed.line,
            verdict="allowed",
            decision=allowed,
            message="",
            deadline=None,
        )

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self.talk.run())
        await settled()
        self.ask(wire.parse("s", READ) + wire.SYNC)
        await settled()
        self.answer(wire.message(b"1") + READY)
        # The first read is recorded by itself, and the gateway asks the target whether it has written.
        self.ask(bind([b"1"]) + DESCRIBE + END)
        await settled()
        self.answer(b"".join(USUAL) + NOT_WRITTEN)
        await settled()
        self.answer(wire.message(b"3") + READY)
        await settled()
        assert not self.tally.lines
        self.client.sent = self.target.sent = b""
        self.shown.clear()
        return self

    @property
    def shown(self) -> list[tuple[float, str]]:
        """The lines that will be in the recording of the connection."""
        transcript = self.talk.attempts.transcript
        assert transcript is not None
        return transcript._waiting

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()
        await asyncio.wait([self._task])

    def ask(self, data: bytes) -> None:
        self.client.reader.feed_data(data)

    def answer(self, data: bytes) -> None:
        self.target.reader.feed_data(data)


async def settled() -> None:
    """Let everything go on that can."""
    for _ in range(10):
        await asyncio.sleep(0)


ANSWER = b"".join(USUAL) + READY
NULL = wire.message(b"D", struct.pack("!Hi", 1, -1))
NOT_WRITTEN = b"".join(map(wire.message, (b"1", b"2", b"3"))) + NULL + wire.message(b"C", b"SELECT 1\0")
FAILED = wire.message(b"2") + wire.message(b"T", b"\0\0") + wire.error("22012", "division by zero") + READY


def pieces(data: bytes, size: int) -> list[bytes]:
    return [data[at : at + size] for at in range(0, len(data), size)]


async def effects(answer: bytes, ask: int, answered: int, *, described: bool = True) -> dict[str, Any]:
    """Return all effects of two reads whose messages and responses arrive in pieces of these sizes."""
    async with Talk() as talk:
        for number in (b"2", b"3"):
            for piece in pieces(bind([number]) + (DESCRIBE if described else b"") + END, ask):
                talk.ask(piece)
                await settled()
            # A read that no longer repeats is recorded, and its Sync is sent only after a question.
            asks = not talk.target.sent.endswith(wire.SYNC)
            parts = [answer.removesuffix(READY), READY] if asks else [answer]
            for piece in [piece for part in parts for piece in pieces(part, answered)]:
                talk.answer(piece)
                await settled()
        return {
            # Names of the gateway's own statements are random.
            "target": re.sub(rb"[0-9a-f]{16}_\d+", b"own", talk.target.sent),
            "client": talk.client.sent,
            "counted": talk.tally.lines,
            "ends": talk.ends,
            "open": len(talk.talk.attempts.open),
            "shown": [line for _, line in talk.shown],
        }


@pytest.mark.parametrize(
    "answer",
    [ANSWER, FAILED, ANSWER.replace(b"2\0\0\0\4", b"2\0\0\0\4" + wire.notice("hello"), 1)],
    ids=["rows", "an error", "a notice"],
)
async def test_a_repeated_read_has_the_same_effects_however_its_messages_arrive(answer):
    whole = await effects(answer, 1000, 1000)
    assert whole["target"].endswith(wire.SYNC)
    assert whole["client"] == answer * 2
    assert whole["open"] == 0
    for ask, answered in ((1000, 7), (5, 1000), (5, 7)):
        assert await effects(answer, ask, answered) == whole


async def test_repeated_reads_are_counted_with_their_values_and_are_in_the_recording():
    found = await effects(ANSWER, 1000, 1000)
    lines = [f"SELECT id FROM app.orders WHERE id = '{number}'" for number in (2, 3)]
    assert found["counted"] == lines
    assert found["shown"] == [text for line in lines for text in (f"shop=> {line};", "SELECT 2")]


async def test_a_batch_without_a_describe_is_a_batch_too():
    answer = ANSWER.replace(wire.message(b"T", b"\0\0"), b"")
    found = await effects(answer, 1000, 1000, described=False)
    assert (found["client"], len(found["counted"])) == (answer * 2, 2)


async def test_a_value_that_is_refused_is_refused_in_a_batch():
    async with Talk() as talk:
        talk.ask(bind(["\u202e".encode()]) + DESCRIBE + END)
        await settled()
        assert b"\xe2\x80\xae" not in talk.target.sent
        assert not talk.tally.lines


async def test_nothing_is_sent_after_the_end_of_the_grant_or_while_it_is_suspended():
    async with Talk() as talk:
        talk.grant.suspended = True
        talk.ask(bind([b"2"]) + DESCRIBE + END)
        # It is executed only once it is recorded by itself.
        assert wire.execute("") not in talk.target.sent
    async with Talk() as talk:
        talk.grant.over = "it was revoked"
        talk.ask(bind([b"2"]) + DESCRIBE + END)
        await settled()
        assert not talk.target.sent
        assert b"GR-1 has ended" in talk.client.sent


async def test_a_read_that_is_cut_is_in_the_recording_and_counted():
    async with Talk() as talk:
        talk.ask(bind([b"2"]) + DESCRIBE + END)
        talk.talk.attempts.finish_all("it was revoked")
        assert [line for _, line in talk.shown] == ["shop=> SELECT id FROM app.orders WHERE id = '2';"]
        assert len(talk.tally.lines) == 1
