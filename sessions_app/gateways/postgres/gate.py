"""Holds the COMMIT of transactions with statements that a second person must approve.

Such a statement runs in a transaction block, so that nothing but a COMMIT commits it: neither a Sync nor a
procedure. If the client has not begun a block, the gateway begins one, and ends it at the client's Sync.
Source: PostgreSQL's documentation, "Message Flow" and "Transactions".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from django.conf import settings

from sessions_app.gateways.postgres.attempts import Attempts, Run
from sessions_app.gateways.postgres.changes import Change
from sessions_app.gateways.postgres.cursors import Cursor, Cursors
from sessions_app.gateways.postgres.own import Own, Row, TableFacts
from sessions_app.policy.commands.postgres.sql.expressions import Table
from sessions_app.policy.commands.postgres.sql.showing import Shown
from sessions_app.policy.commands.postgres.statements import Passes, Runs

# The maximum number of held statements of one transaction, and of their characters, so that approvers can
# read them.
MAX_STATEMENTS, MAX_TEXT = 20, 32_000
# Milliseconds that the server waits for the gateway after a hold has expired.
_LATER_MS = 15_000
# A statement waits for locks for ten seconds at most, so that transactions don't queue up behind held ones.
_LIMIT_LOCKS = """
SELECT set_config('lock_timeout', '10000', true)::text FROM pg_settings
 WHERE name = 'lock_timeout' AND (setting::int = 0 OR setting::int > 10000)
"""
IN_FULL = "the transaction has more statements than an approver can read: commit fewer at a time"


@dataclass(frozen=True, slots=True)
class Savepoint:
    """A savepoint, with the number of held statements and the open cursors before it."""

    name: str
    held: int
    cursors: frozenset[Cursor]


class Gate:
    """The transaction of one connection.

    ``block`` says who began its transaction block, if there is one. ``held`` has the statements that wait for
    the COMMIT, with the details that approvers see. ``cursors`` are its open cursors.

    ``executed`` and ``may_write`` are about what was sent since the transaction began: whether anything was
    executed but reads that are only counted, and whether the record allowed something that may write.
    ``ends`` means that a COMMIT or ROLLBACK was sent in this batch.
    """

    def __init__(self, attempts: Attempts, own: Own) -> None:
        self._attempts, self.own = attempts, own
        self.cursors = Cursors(attempts)
        self.executed = self.may_write = self.ends = False
        self.block: Literal["", "client", "own"] = ""
        self.held: dict[Run, Change] = {}
        # Whether the transaction had failed before this batch, so that it can only be rolled back.
        self.failed = False
        self._savepoints: list[Savepoint] = []
        self._facts: dict[Table, TableFacts] = {}

    async def facts(self, table: Table) -> TableFacts | None:
        """Return the facts about a table; None if the target has failed."""
        if table not in self._facts:
            found = await self.own.facts(table)
            if found is None:
                return None
            self._facts[table] = found
        return self._facts[table]

    # Before and after a statement

    def is_full(self, run: Run) -> bool:
        """Whether the transaction would become too long for approvers to read with one more statement."""
        size = sum(len(change.line) for change in self.held.values()) + len(run.entry.line)
        return len(self.held) >= MAX_STATEMENTS or size > MAX_TEXT

    async def prepare(self, run: Run, shown: Shown) -> Change | None:
        """Begin a block, and read the details that approvers see. Return None if the target has failed."""
        facts = await self.facts(shown.table)
        if facts is None or not await self.own.drained():
            return None
        change = Change(run.entry.line, shown, facts)
        if not self.block:
            if await self.own.ask("BEGIN") is None:
                return None
            self.block = "own"
        if not self.held and not await self._limit():
            return None
        return change if await self._look(change) else None

    async def _limit(self) -> bool:
        """Limit how long the transaction waits for locks, and how long the server waits for the gateway."""
        idle = settings.COMMIT_HOLD_SECONDS * 1000 + _LATER_MS
        return (
            await self.own.ask(_LIMIT_LOCKS, 1) is not None
            and await self.own.ask(f"SET LOCAL idle_in_transaction_session_timeout = {idle}") is not None
        )

    async def _look(self, change: Change) -> bool:
        shown = change.shown
        if shown.secret:
            return True
        if shown.explain:
            plan = await self.own.ask(f"EXPLAIN (FORMAT TEXT, COSTS) {shown.plain}", 1)
            if plan is None:
                return False
            change.plan = "\n".join(line or "" for (line,) in plan)
        if shown.verb == "UPDATE":
            rows: list[Row] | None = await self.own.ask(shown.before(change.facts.keys), len(change.columns))
            if rows is None:
                return False
            change.before = rows
        return True

    def ran(self, run: Run, change: Change) -> None:
        """Note that a statement has run, and waits for the COMMIT."""
        change.rows, run.uncommitted = run.rows, True
        self.held[run] = change

    # Ends of the transaction, or of a part of it

    def passed(self, passes: Passes) -> None:
        """Follow a statement of transaction control that has succeeded."""
        if passes.effect == "begin":
            self.block = "client"
        elif passes.effect in ("commit", "rollback"):
            self._over("rolled back by its client")
        elif passes.effect == "savepoint":
            self._savepoints.append(Savepoint(passes.savepoint, len(self.held), self.cursors.all))
        elif passes.effect in ("release", "rollback to"):
            self._to_savepoint(passes)

    def _to_savepoint(self, passes: Passes) -> None:
        named = [at for at, one in enumerate(self._savepoints) if one.name == passes.savepoint]
        if not named:
            return
        at = named[-1]
        if passes.effect == "release":
            del self._savepoints[at:]
            return
        del self._savepoints[at + 1 :]
        self.failed = False
        self.cursors.keep(self._savepoints[at].cursors)
        for run in list(self.held)[self._savepoints[at].held :]:
            self._undo(run, "rolled back to a savepoint by its client")

    def ready(self, state: bytes) -> None:
        """Follow the transaction's state at the end of a batch."""
        self.ends = False
        if state == b"I":
            self._over("rolled back: a statement of its transaction failed")
            self.executed = self.may_write = False
        elif not self.block:
            self.block = "client"
        self.failed = state == b"E"

    def _over(self, why: str) -> None:
        self.block, self.failed = "", False
        self._savepoints.clear()
        self.cursors.closed()
        for run in list(self.held):
            self._undo(run, why)

    def _undo(self, run: Run, why: str, state: str = "done") -> None:
        del self.held[run]
        run.uncommitted = False
        if run in self._attempts.open:
            self._attempts.finish(run, state, why)

    def sends(self, does: Runs | Passes, *, counted: bool) -> None:
        """Note that something is being executed. ``counted``: it is a read that is only counted."""
        if isinstance(does, Runs):
            self.executed = self.executed or not counted
            self.may_write = self.may_write or does.may_write
        elif does.effect in ("commit", "rollback"):
            self.executed = self.may_write = False
            self.ends = True
        else:
            self.executed = True

    # At the COMMIT

    @property
    def must_ask(self) -> bool:
        """Whether the target has to be asked if it has written something, because no one allowed it to."""
        return self.executed and not self.may_write

    @property
    def commits_at_sync(self) -> bool:
        """Whether the next Sync may commit a transaction outside of a block."""
        return not self.block or self.ends

    async def still(self) -> bool:
        """Send the server the time limits of the wait, and synchronize.

        Return False if the transaction has failed.
        """
        return await self._limit() and await self.own.sync() == b"T"

    def settle(self, run: Run, state: str) -> None:
        """Discard a run whose end the hold has already recorded, if the hold ended in one of these states."""
        if state in ("denied", "lapsed", "over"):
            self._attempts.open.discard(run)

    async def roll_back(self, why: str, state: str = "done") -> None:
        """Roll the transaction back, and record why."""
        await self.own.ask("ROLLBACK")
        for run in list(self.held):
            self._undo(run, f"{why}, rolled back", state)
        self._left()

    def commits(self) -> None:
        """Note that the COMMIT is being sent."""
        for run in self.held:
            run.uncommitted = False

    def committed(self) -> None:
        """Record that the transaction is committed."""
        for run in list(self.held):
            del self.held[run]
            self._attempts.finish(run, "done", "committed")
        self._left()

    def _left(self) -> None:
        self.block = ""
        self._savepoints.clear()
        self.cursors.closed()
