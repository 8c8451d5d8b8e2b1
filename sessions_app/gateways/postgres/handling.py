"""Handle a client's messages: each statement is decided and recorded, and then sent to the target.

Messages are handled one after the other. A refused statement is replaced by a statement that fails on the
target, so that transactions and the order of responses are right without this gateway tracking them. After
each Sync, it waits until the target is ready, so that its list of prepared statements matches the target's.
Source: PostgreSQL's documentation, "Message Flow".
"""

from __future__ import annotations

import asyncio
import datetime as dt
import functools
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from sessions_app.gateways.core.endpoint import Shared
from sessions_app.gateways.core.registry import OpenSession
from sessions_app.gateways.core.tally import Tally
from sessions_app.gateways.postgres import wire
from sessions_app.gateways.postgres.answers import IDLE, NOT_RUN, Expected
from sessions_app.gateways.postgres.attempts import NOT_SENT, NotRun, Run
from sessions_app.gateways.postgres.commits import Commits
from sessions_app.gateways.postgres.gate import IN_FULL, Gate
from sessions_app.gateways.postgres.limits import NO_PARTS, Limits
from sessions_app.gateways.postgres.own import Own, texts
from sessions_app.gateways.postgres.prepared import Entry, Named, Portal
from sessions_app.gateways.postgres.sending import CANCELED_BY_CLIENT, Canceled, Sending
from sessions_app.gateways.postgres.wire import Fields, ProtocolError
from sessions_app.operations.sessions.proofs.postgres import StatementUse
from sessions_app.policy.commands.answers import Refused
from sessions_app.policy.commands.postgres.statements import Passes, Prepared, Runs, decide_text, prepare

_QUIET = wire.PARSE_COMPLETE + wire.BIND_COMPLETE + wire.NO_DATA


class Handling(Sending):
    """The statements of one connection.

    ``finish_by`` is the time until which the last statement may run past the grant's end; None if it is cut
    at the end. ``finish_seconds`` is the same time in seconds after the end.
    """

    def __init__(
        self,
        shared: Shared,
        session: OpenSession[StatementUse],
        tally: Tally,
        *,
        to_client: Callable[[bytes], None],
        to_target: Callable[[bytes], None],
    ) -> None:
        super().__init__(shared, session, tally, to_client=to_client, to_target=to_target)
        self._session, self._use = session, session.use
        self._ready = asyncio.Event()
        self._names = Named()
        self._gate = Gate(self.attempts, Own(self, self._names))
        self._limits = Limits(self)
        self._commits = Commits(shared, session, self._gate, self)
        self._waiting: asyncio.Future[Any] | None = None
        self.finish_by: dt.datetime | None = None
        self.finish_seconds = 0
        # Called after each batch.
        self.on_ready: Callable[[], None] = lambda: None

    async def handle(self, kind: bytes, content: bytes) -> None:
        """Handle one message of the client. Raises ProtocolError, and Ended once the grant has ended."""
        self._session.check()
        if kind == b"S":
            await self._sync()
        elif kind not in _HANDLERS:
            raise ProtocolError(f"a message of type {kind!r} is unknown")
        elif not self.answers.skips:
            self._commits.show()
            await _HANDLERS[kind](self, Fields(content), content)

    # Between both sides

    def _is_ready(self, state: bytes) -> None:
        """Handle the end of a batch. Outside a transaction, the target has no portals."""
        self._gate.ready(state)
        if state == IDLE:
            for portal in self._names.close_portals():
                self.attempts.done_with(portal.run)
            self._limits.closed()
        self._ready.set()
        self.on_ready()

    async def _sync(self) -> None:
        await self._commits.end_block()
        self.answers.skips = False
        self._ready.clear()
        self.send(wire.SYNC, Expected("sync"))
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
            self.refuse(error.answer)
        await self._sync()

    async def _decided(self, text: str) -> list[tuple[Runs | Passes, Run | None]]:
        """Decide and record all statements of a text before the first is sent. Raises NotRun."""
        decided = decide_text(self._use.compiled, text)
        for one in decided:
            if isinstance(one, Refused):
                raise await self.attempts.refused(text, one)
        tried: list[tuple[Runs | Passes, Run | None]] = []
        try:
            for one in decided:
                if isinstance(one, Refused):
                    raise AssertionError  # noqa: TRY004  # all were looked at before
                tried.append((one, await self._begin(one) if isinstance(one, Runs) else None))
        except NotRun:
            self._not_sent(tried)
            raise
        return tried

    def _not_sent(self, tried: Sequence[tuple[Runs | Passes, Run | None]]) -> None:
        for _, run in tried:
            if run is not None and run in self.attempts.open:
                self.attempts.finish(run, "failed", NOT_SENT)

    async def _run_all(self, statements: Sequence[tuple[Runs | Passes, Run | None]]) -> None:
        for at, (does, run) in enumerate(statements):
            self._commits.show()
            text, hidden = does.text, 0
            if isinstance(does, Runs) and does.shown:
                facts = await self._gate.facts(does.shown.table)
                hidden = len(does.shown.named(facts.keys)) if facts else 0
                text += does.shown.returning(facts.keys) if facts else ""
            self.send(wire.parse("", text), Expected("parse", quiet=_QUIET))
            self.send(wire.NO_VALUES.encoded("", ""), Expected("bind", quiet=_QUIET))
            self.send(wire.describe(b"P", ""), Expected("describe", quiet=_QUIET, hidden=hidden))
            if not await self._execute(Portal("", does, hidden, run), 0):
                return self._not_sent(statements[at + 1 :])
        return None

    async def _begin(self, runs: Runs) -> Run:
        """Record a statement and wait for its approval. Raises NotRun."""
        repeated = self.attempts.repeat(runs)
        if repeated is not None:
            self.finish_by, self.finish_seconds = None, 0
            return repeated
        try:
            run = await self.wait(self.attempts.begin(runs, self.say))
        except Canceled as error:
            for one in [run for run in self.attempts.open if not run.sent]:
                self.attempts.finish(one, "cut", CANCELED_BY_CLIENT)
            raise NotRun(error.answer) from None
        self._session.check()
        self.finish_by, self.finish_seconds = None, 0
        if runs.allowed.finish_seconds and run.tried is not None:
            self.finish_by, self.finish_seconds = run.tried.deadline, runs.allowed.finish_seconds
        return run

    async def _execute(self, portal: Portal, limit: int) -> bool:
        """Execute a portal.

        Return whether the target continues with the next message. If the statement has a row limit, wait for
        its number of rows, and let the transaction fail if they exceed the limit. Statements in the gateway's
        own block are also waited for, because an error of the COMMIT can replace the last result.
        """
        run, change, does = portal.run, None, portal.does
        if isinstance(does, Passes):
            return await self._pass(portal, does, limit)
        if run is not None and run.shown is not None:
            if self._gate.is_full(run):
                return self._failed(run, IN_FULL)
            change = await self._gate.prepare(run, run.shown)
            if change is None:
                return self._failed(run)
        opened = functools.partial(self._limits.opened, does, run)
        expected = Expected("execute", run=run, hidden=portal.hidden, done=opened)
        if run is None or limit or not (run.limited or self._gate.block == "own" or change is not None):
            self.send(wire.execute(portal.name, limit), expected)
            return True
        if change is not None:
            expected.take = lambda values: change.take(texts(values))
        tag = await self.answer(wire.execute(portal.name), expected)
        if tag is None or not await self._limits.keeps(run):
            return False
        complete = wire.message(wire.COMMAND_COMPLETE, tag)
        if change is not None:
            self._gate.ran(run, change)
        elif run is not self._limits.of_cursor(does.cursor):
            self.attempts.finish(run, "done")
        self._commits.withhold(complete)
        return True

    def _failed(self, run: Run, why: str = "") -> bool:
        if run in self.attempts.open:
            self.attempts.finish(run, "failed", why or self.answers.failure or NOT_RUN)
        if why:
            self.refuse(wire.error("54000", f"Stint refused this statement: {why}."))
        return False

    async def _pass(self, portal: Portal, passes: Passes, limit: int) -> bool:
        """Execute what is not a command. A COMMIT may wait for approval first."""
        message = wire.execute(portal.name, limit)
        cursor = self._limits.of_cursor(passes.cursor) if passes.effect == "fetch" else None
        if cursor is not None:
            complete = await self._limits.fetch(portal, cursor, limit)
            if complete is not None:
                self._commits.withhold(complete)
            return complete is not None
        expected = Expected("execute", done=lambda: self._passed(passes))
        if self._gate.block == "own" and passes.effect == "setting" and not limit:
            expected.quiet = wire.COMMAND_COMPLETE
            tag = await self.answer(message, expected)
            self._commits.withhold(wire.message(wire.COMMAND_COMPLETE, tag or b""))
            return tag is not None
        if passes.effect != "commit" or not self._gate.held:
            self.send(message, expected)
            return True
        if not await self._commits.allowed():
            return False
        self._gate.commits()
        tag = await self.answer(message, Expected("execute"))
        if tag is None:
            return False
        if tag.startswith(b"COMMIT"):
            self._gate.committed()
        else:
            self._gate.passed(passes)
        return True

    def _passed(self, passes: Passes) -> None:
        self._gate.passed(passes)
        if passes.effect == "close":
            self._limits.closed(passes.cursor)

    # The extended protocol

    async def _on_parse(self, fields: Fields, content: bytes) -> None:
        del content
        name, text = fields.string(), fields.string()
        types = tuple(fields.oid() for _ in range(fields.short()))
        fields.end()
        decided = prepare(self._use.compiled, text, types)
        if isinstance(decided, Refused):
            self.refuse((await self.attempts.refused(text, decided)).answer)
            return
        sent, hidden = decided.text, 0
        if isinstance(decided, Prepared) and decided.shown:
            facts = await self._gate.facts(decided.shown.table)
            if facts is None:
                return
            sent += decided.shown.returning(facts.keys)
            hidden = len(decided.shown.named(facts.keys))
        undo = self._names.add(name, Entry(text, decided, types, hidden))
        self.send(wire.parse(name, sent, types), Expected("parse", undo=undo))

    async def _on_bind(self, fields: Fields, content: bytes) -> None:
        del fields
        asked = wire.read_bind(content)
        entry = self._names.statement(asked.statement)
        if entry is None:
            return self.refuse(_unknown_statement(asked.statement))
        does: Runs | Passes | None
        does = entry.decided if isinstance(entry.decided, Passes) else await self._bound(entry, asked)
        if does is None:
            return None
        portal = Portal(self._names.new_name(asked.portal), does, entry.hidden)
        self.attempts.done_with(self._run_of(asked.portal))
        undo = self._names.open(asked.portal, portal)
        self.send(asked.encoded(portal.name, asked.statement, entry.hidden), Expected("bind", undo=undo))
        return None

    async def _bound(self, entry: Entry, asked: wire.Bind) -> Runs | None:
        """Decide on a statement with its values.

        Return None if it is refused, or if the target has failed.
        """
        if entry.lacks_types(asked) and not await self._learn_types(entry, asked.statement):
            return None
        try:
            values, runs = entry.bound(asked)
        except ValueError as error:
            self.refuse(wire.error("22P03", f"The values can't be read: {error}."))
            return None
        if isinstance(runs, Refused):
            self.refuse((await self.attempts.refused_values(entry.text, values, runs)).answer)
            return None
        return runs

    async def _learn_types(self, entry: Entry, name: str) -> bool:
        """Ask the target for the types of a statement's parameters.

        Return whether the target returned them.
        """
        answer: asyncio.Future[bytes | None] = asyncio.get_running_loop().create_future()
        quiet = wire.PARAMETERS + wire.ROW_DESCRIPTION + wire.NO_DATA
        self.send(wire.describe(b"S", name) + wire.FLUSH, Expected("describe", quiet=quiet, wanted=answer))
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
        entry = self._names.statement(name) if kind == b"S" else self._names.portal(name)
        if kind == b"S" and entry is None:
            return self.refuse(_unknown_statement(name))
        if kind not in (b"P", b"S"):
            raise ProtocolError("a Describe message is of an unknown kind")
        hidden = entry.hidden if entry else 0
        self.send(wire.describe(kind, self._known(kind, name)), Expected("describe", hidden=hidden))
        return None

    def _known(self, kind: bytes, name: str) -> str:
        """Return the target's name for a statement or portal.

        A cursor from DECLARE keeps the client's name.
        """
        portal = self._names.portal(name) if kind == b"P" else None
        return name if portal is None else portal.name

    def _run_of(self, name: str) -> Run | None:
        portal = self._names.portal(name)
        return portal.run if portal else None

    async def _on_close(self, fields: Fields, content: bytes) -> None:
        del content
        kind, name = fields.data(1), fields.string()
        fields.end()
        if kind not in (b"P", b"S"):
            raise ProtocolError("a Close message is of an unknown kind")
        known, run = self._known(kind, name), self._run_of(name) if kind == b"P" else None
        close = self._names.close(kind, name)

        def closed() -> None:
            self.attempts.done_with(run)
            close()
            if kind == b"P" and name and known == name:
                self._limits.closed(name)

        self.send(wire.close(kind, known), Expected("close", done=closed))

    async def _on_execute(self, fields: Fields, content: bytes) -> None:
        del content
        name, limit = fields.string(), fields.integer()
        fields.end()
        portal = self._names.portal(name)
        if portal is None:
            return self.refuse(_unknown_portal(name))
        runs = portal.does if isinstance(portal.does, Runs) else None
        if runs is not None and (portal.run not in self.attempts.open or portal.run in self._gate.held):
            if limit and (runs.max_rows is not None or runs.shown or self.attempts.counts(runs)):
                return self.refuse(NO_PARTS)
            try:
                portal.run = await self._begin(runs)
            except NotRun as error:
                return self.refuse(error.answer)
        await self._execute(portal, limit)
        return None

    async def _on_flush(self, fields: Fields, content: bytes) -> None:
        del content
        fields.end()
        self.send(wire.FLUSH)


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
