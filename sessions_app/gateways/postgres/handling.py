"""What a client's messages do: each statement is decided and recorded, and then sent to the target.

Messages are handled one after the other. A refused statement becomes one that fails on the target, so that
transactions and the order of answers are right without this gateway tracking them. After each Sync, it waits
until the target is ready, so that its list of prepared statements matches the target's. Source: PostgreSQL's
documentation, "Message Flow".
"""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import Callable, Coroutine
from typing import Any

from sessions_app.gateways.core.endpoint import Shared
from sessions_app.gateways.core.registry import OpenSession
from sessions_app.gateways.postgres import wire
from sessions_app.gateways.postgres.answers import IDLE, NOT_RUN, Answers, Expected
from sessions_app.gateways.postgres.attempts import NOT_SENT, Attempts, NotRun, Run
from sessions_app.gateways.postgres.prepared import Entry, Named, Portal
from sessions_app.gateways.postgres.wire import Fields, ProtocolError
from sessions_app.operations.sessions.proofs.postgres import StatementUse
from sessions_app.policy.commands.answers import Refused
from sessions_app.policy.commands.postgres.statements import Passes, Runs, decide_text, prepare

# Fails on every server, in every state of a transaction. Takes the place of a refused statement.
FAILING, FAILING_NAME = "stint: a statement was refused", "stint_refused"
CANCELED, NOT_SUPPORTED = "57014", "0A000"
CANCELED_BY_CLIENT = "canceled by its client"
_QUIET = wire.PARSE_COMPLETE + wire.BIND_COMPLETE + wire.NO_DATA


class Handling:
    """The statements of one connection.

    ``finish_by`` is the time until which the last one may run past the grant's end; None if it is cut at the
    end. ``finish_seconds`` is the number of seconds after the end.
    """

    def __init__(
        self,
        shared: Shared,
        session: OpenSession[StatementUse],
        *,
        to_client: Callable[[bytes], None],
        to_target: Callable[[bytes], None],
    ) -> None:
        self._session, self._use = session, session.use
        self._to_client, self._to_target = to_client, to_target
        self.attempts = Attempts(shared, session)
        self.answers = Answers(self.attempts, to_client, self._is_ready)
        self._ready = asyncio.Event()
        self._names = Named()
        self._waiting: asyncio.Task[Run] | None = None
        self.finish_by: dt.datetime | None = None
        self.finish_seconds = 0
        # Called after each batch.
        self.on_ready: Callable[[], None] = lambda: None

    def stop_waiting(self) -> bool:
        """Stop waiting for an approval. Return whether an approval was pending."""
        if self._waiting is None:
            return False
        self._waiting.cancel()
        return True

    async def handle(self, kind: bytes, content: bytes) -> None:
        """Handle one message of the client. Raises ProtocolError, and Ended once the grant has ended."""
        self._session.check()
        if kind == b"S":
            await self._sync()
        elif kind not in _HANDLERS:
            raise ProtocolError(f"a message of type {kind!r} is unknown")
        elif not self.answers.skips:
            await _HANDLERS[kind](self, Fields(content), content)

    # Between both sides

    def _send(self, data: bytes, expected: Expected | None = None) -> None:
        """Send a message to the target, unless it ignores everything until Sync after a failure."""
        if expected is None:
            self._to_target(data)
        elif self.answers.skips:
            self.answers.drop(expected, NOT_RUN)
        else:
            self.answers.add(expected)
            if expected.run is not None:
                expected.run.send()
            self._to_target(data)

    def _is_ready(self, state: bytes) -> None:
        """Handle the end of a batch. Outside a transaction, the target has no portals."""
        if state == IDLE:
            for portal in self._names.close_portals():
                self._done_with(portal)
        self._ready.set()
        self.on_ready()

    def _done_with(self, portal: Portal | None) -> None:
        """Report the statement of a portal that the client has not read to its end."""
        if portal is not None and portal.run in self.attempts.open and portal.run is not None:
            self.attempts.finish(portal.run, "done")

    def _refuse(self, answer: bytes) -> None:
        """Let the target fail, and give the client this error instead of its own."""
        self._send(wire.parse(FAILING_NAME, FAILING), Expected("refusal", refusal=answer))
        self.answers.skips = True

    async def _sync(self) -> None:
        self.answers.skips = False
        self._ready.clear()
        self._send(wire.SYNC, Expected("sync"))
        await self._ready.wait()

    # The simple protocol

    async def _on_query(self, fields: Fields, content: bytes) -> None:
        """Handle statements of the simple protocol.

        They are sent one by one, in a transaction that the target ends at the Sync, as if they were sent
        together.
        """
        del content
        text = fields.string()
        fields.end()
        self._names.forget_unnamed()
        try:
            await self._run_all(await self._decided(text))
        except NotRun as error:
            self._refuse(error.answer)
        await self._sync()

    async def _decided(self, text: str) -> list[tuple[str, Run | None]]:
        """Decide and record all statements of a text before the first is sent. Raises NotRun."""
        decided = decide_text(self._use.compiled, text)
        for one in decided:
            if isinstance(one, Refused):
                raise await self.attempts.refused(text, one)
        tried: list[tuple[str, Run | None]] = []
        try:
            for one in decided:
                if isinstance(one, Refused):
                    raise AssertionError  # noqa: TRY004  # all were looked at before
                tried.append((one.text, await self._begin(one) if isinstance(one, Runs) else None))
        except NotRun:
            self._not_sent(tried)
            raise
        return tried or [("", None)]

    def _not_sent(self, tried: list[tuple[str, Run | None]]) -> None:
        for _, run in tried:
            if run is not None and run in self.attempts.open:
                self.attempts.finish(run, "failed", NOT_SENT)

    async def _run_all(self, statements: list[tuple[str, Run | None]]) -> None:
        for at, (text, run) in enumerate(statements):
            self._send(wire.parse("", text), Expected("parse", quiet=_QUIET))
            self._send(wire.NO_VALUES.encoded("", ""), Expected("bind", quiet=_QUIET))
            self._send(wire.describe(b"P", ""), Expected("describe", quiet=_QUIET))
            if not await self._execute("", 0, run):
                return self._not_sent(statements[at + 1 :])
        return None

    async def _begin(self, runs: Runs) -> Run:
        """Record a statement and wait for its approval. Raises NotRun."""
        self._waiting = asyncio.ensure_future(self.attempts.begin(runs, self._notice))
        try:
            run = await self._waiting
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            for one in [run for run in self.attempts.open if not run.sent]:
                self.attempts.finish(one, "cut", CANCELED_BY_CLIENT)
            raise NotRun(wire.error(CANCELED, "canceling statement due to user request")) from None
        finally:
            self._waiting = None
        self._session.check()
        self.finish_by, self.finish_seconds = None, 0
        if runs.allowed.finish_seconds:
            self.finish_by, self.finish_seconds = run.tried.deadline, runs.allowed.finish_seconds
        return run

    def _notice(self, text: str) -> None:
        self._to_client(wire.notice(text))

    async def _execute(self, portal: str, limit: int, run: Run | None) -> bool:
        """Execute a portal.

        Return whether the target continues with the next message. If the statement has a row limit, wait for
        its number of rows, and let the transaction fail if they exceed the limit.
        """
        expected = Expected("execute", run=run)
        if run is None or run.most is None:
            self._send(wire.execute(portal, limit), expected)
            return True
        expected.wanted = asyncio.get_running_loop().create_future()
        self._send(wire.execute(portal) + wire.FLUSH, expected)
        tag = await expected.wanted
        if tag is None:
            return False
        if run.rows > run.most:
            why = f"it touched {run.rows} rows, and may touch at most {run.most}"
            self.attempts.finish(run, "failed", f"{why}; rolled back")
            self._refuse(
                wire.error("42501", f"Stint refused this statement: {why}. Its transaction is rolled back.")
            )
            return False
        self.attempts.finish(run, "done")
        self._to_client(wire.message(wire.COMMAND_COMPLETE, tag))
        return True

    # The extended protocol

    async def _on_parse(self, fields: Fields, content: bytes) -> None:
        del content
        name, text = fields.string(), fields.string()
        types = tuple(fields.oid() for _ in range(fields.short()))
        fields.end()
        decided = prepare(self._use.compiled, text, types)
        if isinstance(decided, Refused):
            self._refuse((await self.attempts.refused(text, decided)).answer)
            return
        undo = self._names.add(name, Entry(text, decided, types))
        self._send(wire.parse(name, decided.text, types), Expected("parse", undo=undo))

    async def _on_bind(self, fields: Fields, content: bytes) -> None:
        del fields
        asked = wire.read_bind(content)
        entry = self._names.statement(asked.statement)
        if entry is None:
            return self._refuse(_unknown_statement(asked.statement))
        runs = None
        if not isinstance(entry.decided, Passes):
            runs = await self._bound(entry, asked)
            if runs is None:
                return None
        portal = Portal(self._names.new_name(asked.portal), runs)
        self._done_with(self._names.portal(asked.portal))
        undo = self._names.open(asked.portal, portal)
        self._send(asked.encoded(portal.name, asked.statement), Expected("bind", undo=undo))
        return None

    async def _bound(self, entry: Entry, asked: wire.Bind) -> Runs | None:
        """Decide on a statement with its values. None if it is refused, or if the target has failed."""
        if entry.lacks_types(asked) and not await self._learn_types(entry, asked.statement):
            return None
        try:
            values, runs = entry.bound(asked)
        except ValueError as error:
            self._refuse(wire.error("22P03", f"The values can't be read: {error}."))
            return None
        if isinstance(runs, Refused):
            self._refuse((await self.attempts.refused_values(entry.text, values, runs)).answer)
            return None
        return runs

    async def _learn_types(self, entry: Entry, name: str) -> bool:
        """Ask the target for the types of a statement's parameters. Return whether it answered."""
        answer: asyncio.Future[bytes | None] = asyncio.get_running_loop().create_future()
        quiet = wire.PARAMETERS + wire.ROW_DESCRIPTION + wire.NO_DATA
        self._send(wire.describe(b"S", name) + wire.FLUSH, Expected("describe", quiet=quiet, wanted=answer))
        content = await answer
        if content is None:
            return False
        fields = Fields(content)
        entry.types = tuple(fields.oid() for _ in range(fields.short()))
        return True

    async def _on_describe(self, fields: Fields, content: bytes) -> None:
        del content
        kind, name = fields.data(1), fields.string()
        fields.end()
        if kind == b"S" and self._names.statement(name) is None:
            return self._refuse(_unknown_statement(name))
        if kind not in (b"P", b"S"):
            raise ProtocolError("a Describe message is of an unknown kind")
        self._send(wire.describe(kind, self._known(kind, name)), Expected("describe"))
        return None

    def _known(self, kind: bytes, name: str) -> str:
        """Return the target's name for a statement or portal.

        A cursor from DECLARE keeps the client's name.
        """
        portal = self._names.portal(name) if kind == b"P" else None
        return name if portal is None else portal.name

    async def _on_close(self, fields: Fields, content: bytes) -> None:
        del content
        kind, name = fields.data(1), fields.string()
        fields.end()
        if kind not in (b"P", b"S"):
            raise ProtocolError("a Close message is of an unknown kind")
        known, portal = self._known(kind, name), self._names.portal(name) if kind == b"P" else None
        close = self._names.close(kind, name)

        def closed() -> None:
            self._done_with(portal)
            close()

        self._send(wire.close(kind, known), Expected("close", done=closed))

    async def _on_execute(self, fields: Fields, content: bytes) -> None:
        del content
        name, limit = fields.string(), fields.integer()
        fields.end()
        portal = self._names.portal(name)
        if portal is None:
            return self._refuse(_unknown_portal(name))
        if portal.runs is not None and portal.run not in self.attempts.open:
            if portal.runs.max_rows is not None and limit:
                hint = "Read all rows at once: the statement may touch only a limited number."
                return self._refuse(wire.error(NOT_SUPPORTED, "Row limits are unsupported here.", hint=hint))
            try:
                portal.run = await self._begin(portal.runs)
            except NotRun as error:
                return self._refuse(error.answer)
        await self._execute(portal.name, limit, portal.run)
        return None

    async def _on_flush(self, fields: Fields, content: bytes) -> None:
        del content
        fields.end()
        self._send(wire.FLUSH)


def _unknown_statement(name: str) -> bytes:
    return wire.error("26000", f'prepared statement "{name[:63]}" does not exist')


def _unknown_portal(name: str) -> bytes:
    return wire.error("34000", f'portal "{name[:63]}" does not exist')


_HANDLERS: dict[bytes, Callable[[Handling, Fields, bytes], Coroutine[Any, Any, None]]] = {
    b"Q": Handling._on_query,  # noqa: SLF001
    b"P": Handling._on_parse,  # noqa: SLF001  # its own methods
    b"B": Handling._on_bind,  # noqa: SLF001
    b"D": Handling._on_describe,  # noqa: SLF001
    b"E": Handling._on_execute,  # noqa: SLF001
    b"C": Handling._on_close,  # noqa: SLF001
    b"H": Handling._on_flush,  # noqa: SLF001
}
