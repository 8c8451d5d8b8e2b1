"""Handle a client's messages: each statement is decided and recorded, and then sent to the target.

Messages are handled one after the other, at once unless something has to be awaited. A refused statement is
replaced by a statement that fails on the target, so that transactions and the order of responses are right
without this gateway tracking them. After each Sync, messages wait until the target is ready, so that the list
of prepared statements matches the target's.
Source: PostgreSQL's documentation, "Message Flow".
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from sessions_app.gateways.core.endpoint import Shared
from sessions_app.gateways.core.registry import OpenSession
from sessions_app.gateways.core.tally import Tally
from sessions_app.gateways.postgres import wire
from sessions_app.gateways.postgres.answers import IDLE, Expected
from sessions_app.gateways.postgres.attempts import NOT_SENT, NotRun, Run
from sessions_app.gateways.postgres.batches import Batch, Batches
from sessions_app.gateways.postgres.executing import Executing
from sessions_app.gateways.postgres.limits import NO_PARTS
from sessions_app.gateways.postgres.prepared import MAX_NAME, Entry, Portal, is_name
from sessions_app.gateways.postgres.wire import Fields, ProtocolError, Rest
from sessions_app.operations.sessions.proofs.postgres import StatementUse
from sessions_app.policy.commands.answers import Refused
from sessions_app.policy.commands.postgres.statements import Passes, Prepared, Runs, decide_text, prepare

_QUIET = wire.PARSE_COMPLETE + wire.BIND_COMPLETE + wire.NO_DATA


class Handling(Executing):
    """The messages of one connection's client."""

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
        self._batches = Batches()
        # Whether the target has answered the last Sync.
        self._ready = asyncio.Event()
        self._ready.set()
        # Called after each batch.
        self.on_ready: Callable[[], None] = lambda: None

    @property
    def is_ready(self) -> bool:
        """Whether the target has answered the last Sync, so that the next message can be handled."""
        return self._ready.is_set()

    async def ready(self) -> None:
        """Wait until the target has answered the last Sync."""
        await self._ready.wait()

    def handle(self, kind: bytes, content: bytes) -> Rest:
        """Handle one message of the client, and return what has to be awaited before the next.

        Raises ProtocolError, and Ended once the grant has ended.
        """
        self._session.check()
        if kind == b"S":
            return self._sync()
        if kind not in _HANDLERS:
            raise ProtocolError(f"a message of type {kind!r} is unknown")
        if self.answers.skips:
            return None
        self._commits.show()
        return _HANDLERS[kind](self, Fields(content), content)

    @property
    def is_idle(self) -> bool:
        """Whether the target waits for a batch outside of transaction blocks."""
        return self._ready.is_set() and not (self.answers.expected or self.answers.skips or self._gate.block)

    def repeat(self, data: bytes, send: Callable[[bytes], None]) -> bool:
        """Handle a whole batch that repeats a read, as `handle` would handle each of its messages, and
        ``send`` it to the target at once.

        Return False, and do nothing, if it is anything else. Raises ProtocolError, and Ended once the grant
        has ended.
        """
        self._session.check()
        batch = self._batches.read(data)
        entry = self._names.statement(batch.statement) if batch is not None else None
        run = self._repeated(entry, batch) if batch is not None and entry is not None else None
        if batch is None or run is None:
            return False
        self._ready.clear()
        self.finish_by, self.finish_seconds = None, 0
        self.answers.add(Expected("described batch" if batch.described else "batch", run=run))
        run.send()
        # The client's own bytes are in canonical form: it is the statement's text that is never the client's.
        send(data)
        # This is done while the target works.
        self.attempts.note(run)
        return True

    def _repeated(self, entry: Entry, batch: Batch) -> Run | None:
        """Decide a statement with its values. Return None unless it repeats a read in the record."""
        formats, values = batch.formats, batch.values
        known = self.attempts.knows(entry.decided.text) and not entry.hidden
        if not known or entry.lacks_types(formats, values):
            return None
        try:
            _, runs = entry.bound(formats, values)
        except ValueError:
            return None
        return self.attempts.repeat(runs) if isinstance(runs, Runs) and not runs.cursor else None

    # Between both sides

    def _is_ready(self, state: bytes) -> None:
        """Handle the end of a batch. Outside a transaction, the target has no portals."""
        self._gate.ready(state)
        if state == IDLE:
            for portal in self._names.close_portals():
                self.attempts.done_with(portal.run)
        self._ready.set()
        self.on_ready()

    def _sync(self) -> Rest:
        if self._gate.block == "own":
            return self._sync_block()
        if self._gate.must_ask and self._gate.commits_at_sync and not self.answers.skips:
            return self._sync_asked()
        self._synchronize()
        return None

    async def _sync_asked(self) -> None:
        await self._commits.is_approved()
        self._synchronize()

    async def _sync_block(self) -> None:
        await self._commits.end_block()
        self._synchronize()

    def _synchronize(self) -> None:
        self._commits.forget()
        self.answers.skips = False
        self._ready.clear()
        self.send(wire.SYNC, Expected("sync"))

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
        self.attempts.done_with(self._names.drop_portal(""))
        try:
            await self._run_all(await self._decided(text))
        except NotRun as error:
            self.refuse(error.answer)
        if (rest := self._sync()) is not None:
            await rest

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
            self.send(wire.bind("", ""), Expected("bind", quiet=_QUIET))
            self.send(wire.describe(b"P", ""), Expected("describe", quiet=_QUIET, hidden=hidden))
            if not await self._execute(Portal("", does, hidden, run), 0):
                return self._not_sent(statements[at + 1 :])
        return None

    # The extended protocol

    async def _on_parse(self, fields: Fields, content: bytes) -> None:
        del content
        name, text = fields.string(), fields.string()
        types = tuple(fields.oid() for _ in range(fields.short()))
        fields.end()
        if not is_name(name):
            self.refuse(BAD_NAME)
            return
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

    def _on_bind(self, fields: Fields, content: bytes) -> Rest:
        del fields
        asked = wire.read_bind(content)
        entry = self._names.statement(asked.statement)
        if entry is None:
            self.refuse(_unknown_statement(asked.statement))
            return None
        if not is_name(asked.portal):
            self.refuse(BAD_NAME)
            return None
        if isinstance(entry.decided, Passes):
            self._open(entry, asked, entry.decided)
            return None
        if entry.lacks_types(asked.formats, asked.values):
            return self._bind_later(entry, asked)
        return self._bind(entry, asked)

    async def _bind_later(self, entry: Entry, asked: wire.Bind) -> None:
        if await self._learn_types(entry, asked.statement) and (rest := self._bind(entry, asked)) is not None:
            await rest

    def _bind(self, entry: Entry, asked: wire.Bind) -> Rest:
        """Decide on a statement with its values."""
        try:
            values, runs = entry.bound(asked.formats, asked.values)
        except ValueError as error:
            self.refuse(wire.error("22P03", f"The values can't be read: {error}."))
            return None
        if isinstance(runs, Refused):
            return self._refuse_values(entry, values, runs)
        self._open(entry, asked, runs)
        return None

    async def _refuse_values(self, entry: Entry, values: Sequence[str | None], refused: Refused) -> None:
        self.refuse((await self.attempts.refused_values(entry.text, values, refused)).answer)

    def _open(self, entry: Entry, asked: wire.Bind, does: Runs | Passes) -> None:
        portal = Portal(asked.portal, does, entry.hidden)
        self.attempts.done_with(self._run_of(asked.portal))
        undo = self._names.open(asked.portal, portal)
        if asked.portal:
            portal.unbound, portal.entry = asked, entry
            self._replace_unnamed()
        bind = asked.encoded("", asked.statement, entry.hidden)
        self.send(bind, Expected("bind", undo=undo))

    def _replace_unnamed(self) -> None:
        """Drop the client's unnamed portal, because the target's is bound for another one."""
        self.attempts.done_with(self._names.drop_portal(""))

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

    def _on_describe(self, fields: Fields, content: bytes) -> None:
        del content
        kind, name = fields.data(1), fields.string()
        fields.end()
        entry = self._names.statement(name) if kind == b"S" else self._names.portal(name)
        if kind == b"S" and entry is None:
            return self.refuse(_unknown_statement(name))
        if kind not in (b"P", b"S"):
            raise ProtocolError("a Describe message is of an unknown kind")
        hidden = entry.hidden if entry else 0
        if isinstance(entry, Portal) and entry.unbound is not None:
            self._replace_unnamed()
            self.send(entry.bind(""), Expected("bind", quiet=wire.BIND_COMPLETE))
            name = ""
        self.send(wire.describe(kind, name), Expected("describe", hidden=hidden))
        return None

    def _run_of(self, name: str) -> Run | None:
        portal = self._names.portal(name)
        return portal.run if portal else None

    def _on_close(self, fields: Fields, content: bytes) -> None:
        del content
        kind, name = fields.data(1), fields.string()
        fields.end()
        if kind not in (b"P", b"S"):
            raise ProtocolError("a Close message is of an unknown kind")
        if not is_name(name):
            self.refuse(BAD_NAME)
            return
        if kind == b"S":
            self.send(wire.close(kind, name), Expected("close", done=self._names.close_statement(name)))
            return
        run = self._names.drop_portal(name)

        def closed() -> None:
            self.attempts.done_with(run)
            if name:
                self._gate.cursors.closed(name)

        self.send(wire.close(kind, name), Expected("close", done=closed))

    def _on_execute(self, fields: Fields, content: bytes) -> Rest:
        del content
        name, limit = fields.string(), fields.integer()
        fields.end()
        portal = self._names.portal(name)
        if portal is None:
            self.refuse(_unknown_portal(name))
            return None
        runs = portal.does if isinstance(portal.does, Runs) else None
        if runs is not None and (portal.run not in self.attempts.open or portal.run in self._gate.held):
            if limit and (runs.max_rows is not None or runs.shown or self.attempts.counts(runs)):
                self.refuse(NO_PARTS)
                return None
            portal.run = self._repeat(runs)
            if portal.run is None:
                return self._begin_and_execute(portal, runs, limit)
        return None if self._pass_on(portal, limit) else self._execute_later(portal, limit)

    async def _begin_and_execute(self, portal: Portal, runs: Runs, limit: int) -> None:
        try:
            portal.run = await self._begin(runs)
        except NotRun as error:
            self.refuse(error.answer)
        else:
            await self._execute(portal, limit)

    async def _execute_later(self, portal: Portal, limit: int) -> None:
        await self._execute(portal, limit)

    def _on_flush(self, fields: Fields, content: bytes) -> None:
        del content
        fields.end()
        self.send(wire.FLUSH)


BAD_NAME = wire.error("42622", f"Names of statements and portals have at most {MAX_NAME} ASCII characters.")


def _unknown_statement(name: str) -> bytes:
    return wire.error("26000", f'prepared statement "{name[:63]}" does not exist')


def _unknown_portal(name: str) -> bytes:
    return wire.error("34000", f'portal "{name[:63]}" does not exist')


_HANDLERS: dict[bytes, Callable[[Handling, Fields, bytes], Rest]] = {
    b"Q": Handling._on_query,  # noqa: SLF001
    b"P": Handling._on_parse,  # noqa: SLF001  # its own methods
    b"B": Handling._on_bind,  # noqa: SLF001
    b"D": Handling._on_describe,  # noqa: SLF001
    b"E": Handling._on_execute,  # noqa: SLF001
    b"C": Handling._on_close,  # noqa: SLF001
    b"H": Handling._on_flush,  # noqa: SLF001
}
