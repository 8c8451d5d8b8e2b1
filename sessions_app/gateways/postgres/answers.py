"""The pending responses of a target, in order, and which of them the client gets.

Each message to the target has an expected answer. After an error, the target ignores
everything until the next Sync, so the responses until then are not expected.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from sessions_app.gateways.postgres import wire
from sessions_app.gateways.postgres.attempts import Attempts, Run
from sessions_app.gateways.postgres.batches import read_result
from sessions_app.gateways.postgres.upstream import FIXED
from sessions_app.gateways.postgres.wire import Fields, ProtocolError

Kind = Literal["parse", "bind", "close", "describe", "execute", "refusal", "sync", "batch", "described batch"]
# By kind of message: the types of messages in its response, and those that end the response.
_ANSWERS: dict[Kind, tuple[bytes, bytes]] = {
    "parse": (wire.PARSE_COMPLETE, wire.PARSE_COMPLETE),
    "bind": (wire.BIND_COMPLETE, wire.BIND_COMPLETE),
    "close": (wire.CLOSE_COMPLETE, wire.CLOSE_COMPLETE),
    "describe": (b"tTn", b"Tn"),
    "execute": (b"DCIs", b"CIs"),
    "refusal": (b"", b""),
    "sync": (wire.READY, wire.READY),
}
_BATCHES = ("batch", "described batch")
# Messages that a target sends without being asked, or instead of an answer.
_UNASKED = frozenset((wire.STATUS, wire.NOTICE, wire.NOTIFICATION, wire.ERROR))
_FATAL = ("FATAL", "PANIC")
NOT_RUN = "not run: an earlier statement failed"
IDLE = b"I"


@dataclass(slots=True, eq=False)
class Expected:
    """One message to the target that has no complete response yet.

    ``quiet`` are the types of response messages that the client does not get. ``refusal`` replaces the error
    in the target's response. ``undo`` is called if the target ignored the message or failed, and ``done``
    otherwise.
    """

    kind: Kind
    quiet: bytes = b""
    # The number of trailing columns that the client does not get, and the function that gets their values.
    hidden: int = 0
    take: Callable[[list[bytes | None]], None] | None = None
    refusal: bytes = b""
    run: Run | None = None
    undo: Callable[[], None] | None = None
    done: Callable[[], None] | None = None
    # The content of the response for which the gateway itself waits; None if the response has no content.
    wanted: asyncio.Future[bytes | None] | None = None

    def visible(self, kind: bytes, content: bytes) -> bytes:
        """Return an answer without its hidden columns. Raises ProtocolError."""
        if kind == wire.ROW_DESCRIPTION:
            left = wire.split_description(content, self.hidden)
            return wire.message(kind, left) if left else wire.message(wire.NO_DATA)
        if kind != wire.DATA_ROW:
            return wire.message(kind, content)
        row, values = wire.split_row(content, self.hidden)
        if self.take is not None:
            self.take(values)
        return wire.message(kind, row) if row else b""

    def settle(self, content: bytes | None) -> None:
        """Give the gateway the response for which it waits."""
        if self.wanted is not None and not self.wanted.done():
            self.wanted.set_result(content)


@dataclass(slots=True)
class Answers:
    """The pending responses of the target. ``send`` sends a message to the client."""

    attempts: Attempts
    send: Callable[[bytes], None]
    # Called after each ReadyForQuery, with the state of the transaction.
    on_ready: Callable[[bytes], None]
    expected: deque[Expected] = field(default_factory=deque)
    # Whether the target ignores messages until the next Sync.
    skips: bool = False
    # The reason for the target's latest failure.
    failure: str = ""
    # Whether the target has ended the session and the client has received the reason.
    ended: bool = False

    def add(self, one: Expected) -> None:
        """Expect one more response."""
        self.expected.append(one)

    def must_afford(self, kind: bytes) -> bool:
        """Whether a message is a row that counts against a budget, so that ``afford`` comes first."""
        run = self.expected[0].run if kind == wire.DATA_ROW and self.expected else None
        return run is not None and run.allowance is not None and not run.beyond

    async def afford(self, content: bytes) -> None:
        """Count a row against its budget before it is handled. Raises StintError."""
        run = self.expected[0].run
        if run is not None and run.allowance is not None:
            run.beyond = not await run.allowance.take(size=len(content), rows=1)

    @property
    def expects_batch(self) -> bool:
        """Whether the next response is that to a batch."""
        return bool(self.expected) and self.expected[0].kind in _BATCHES

    def take_batch(self, data: bytes, send: Callable[[bytes], None]) -> bool:
        """Handle the target's whole answer to a batch, and ``send`` it. Return False, and do nothing, if it
        is unusual.
        """
        one = self.expected[0]
        found = read_result(data, described=one.kind == "described batch")
        if found is None or one.run is None:
            return False
        self.expected.popleft()
        one.run.rows, one.run.size = max(found.rows, rows_of(found.complete)), found.size
        send(data)
        self.attempts.finish(one.run, "done")
        self.attempts.show(found.complete)
        self.on_ready(IDLE)
        return True

    def _unfold(self) -> None:
        """Expect the answers to each message of a batch."""
        one = self.expected.popleft()
        kinds: tuple[Kind, ...] = ("bind", "describe") if one.kind == "described batch" else ("bind",)
        self.expected.extend([*map(Expected, kinds), Expected("execute", run=one.run), Expected("sync")])

    def take(self, kind: bytes, content: bytes) -> None:
        """Handle one message of the target. Raises ProtocolError."""
        if self.expects_batch:
            self._unfold()
        if kind not in _UNASKED:
            self._answered(kind, content)
        elif kind == wire.ERROR:
            self._failed(content)
        elif kind != wire.NOTIFICATION:
            if kind == wire.STATUS:
                _check_fixed(content)
            self.send(wire.message(kind, content))

    def _answered(self, kind: bytes, content: bytes) -> None:
        one = self.expected[0] if self.expected else None
        possible, ends = _ANSWERS[one.kind] if one is not None else (b"", b"")
        if one is None or kind not in possible:
            raise ProtocolError(f"a message of type {kind!r} was not expected")
        last = kind in ends
        if last:
            self.expected.popleft()
        shown = one.visible(kind, content) if one.hidden else wire.message(kind, content)
        if one.run is not None:
            self._counted(one, one.run, kind, shown, content)
        elif shown[:1] not in one.quiet:
            self.send(shown)
        if one.wanted is not None and (last or kind == wire.PARAMETERS):
            one.settle(content)
        if last and one.done is not None:
            one.done()
        if kind == wire.READY and one.wanted is None:
            self.on_ready(content)

    def _counted(self, one: Expected, run: Run, kind: bytes, shown: bytes, content: bytes) -> None:
        if kind == wire.DATA_ROW:
            run.rows, run.size = run.rows + 1, run.size + max(0, len(shown) - wire.HEAD)
            if run.beyond or (run.most is not None and run.rows > run.most):
                # The statement is refused once it has ended. No one sees more rows than it may touch.
                return
        elif kind == wire.COMMAND_COMPLETE:
            run.rows = max(run.rows, rows_of(content))
            if one.wanted is not None:
                # The client gets this message once the number of rows is checked.
                return
            self.attempts.finish(run, "done")
        elif kind == wire.EMPTY:
            self.attempts.finish(run, "done")
        self.send(shown)

    def _failed(self, content: bytes) -> None:
        said = wire.read_error(content)
        dropped = []
        while self.expected and self.expected[0].kind != "sync":
            dropped.append(self.expected.popleft())
        self.ended = said.get("V", said.get("S")) in _FATAL
        self.skips = not self.expected
        refusal = dropped[0].refusal if dropped and not self.ended else b""
        self.send(refusal or wire.message(wire.ERROR, content))
        self.failure = why = f"{said.get('C', '')} {said.get('M', '')}".strip()
        for at, one in enumerate(reversed(dropped), 1):
            self.drop(one, why if at == len(dropped) else NOT_RUN)

    def drop(self, one: Expected, why: str) -> None:
        """Handle a message that the target has ignored, or that failed."""
        if one.undo is not None:
            one.undo()
        one.settle(None)
        if one.run is not None and one.run in self.attempts.open:
            self.attempts.finish(one.run, "failed", why)


def _check_fixed(content: bytes) -> None:
    """Check that a setting that affects how statements are read is unchanged.

    A function could have changed such a setting.
    """
    fields = Fields(content)
    name, value = fields.string(), fields.string()
    if FIXED.get(name, value) != value:
        raise ProtocolError(f"{name} has changed to {value}")


def rows_of(tag: bytes) -> int:
    """Return the number of rows in the tag of a command, such as `UPDATE 3` or `INSERT 0 1`."""
    last = tag.rstrip(b"\0").rpartition(b" ")[2]
    return int(last) if last.isdigit() else 0
