"""Begin and execute the statements of one connection, once they are decided."""

from __future__ import annotations

import asyncio
import datetime as dt
import functools
from collections.abc import Callable
from typing import Any

from sessions_app.gateways.core.endpoint import Shared
from sessions_app.gateways.core.registry import OpenSession
from sessions_app.gateways.core.tally import Tally
from sessions_app.gateways.postgres import wire
from sessions_app.gateways.postgres.answers import NOT_RUN, Expected
from sessions_app.gateways.postgres.attempts import NotRun, Run
from sessions_app.gateways.postgres.changes import Change
from sessions_app.gateways.postgres.commits import Commits
from sessions_app.gateways.postgres.cursors import Cursor
from sessions_app.gateways.postgres.gate import IN_FULL, Gate
from sessions_app.gateways.postgres.limits import NO_PARTS, Limits
from sessions_app.gateways.postgres.own import Own, texts
from sessions_app.gateways.postgres.prepared import Named, Portal
from sessions_app.gateways.postgres.sending import CANCELED_BY_CLIENT, Canceled, Sending
from sessions_app.operations.sessions.proofs.postgres import StatementUse
from sessions_app.policy.commands.answers import Refused
from sessions_app.policy.commands.characters import clip
from sessions_app.policy.commands.postgres.statements import Passes, Runs


class Executing(Sending):
    """The statements of one connection that are allowed.

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
        self._names = Named()
        self._gate = Gate(self.attempts, Own(self))
        self._cursors = self._gate.cursors
        self._limits = Limits(self)
        self._commits = Commits(shared, session, self._gate, self)
        self._waiting: asyncio.Future[Any] | None = None
        self.finish_by: dt.datetime | None = None
        self.finish_seconds = 0

    async def _begin(self, runs: Runs) -> Run:
        """Record a statement and wait for its approval. Raises NotRun."""
        repeated = self._repeat(runs)
        if repeated is not None:
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

    def _repeat(self, runs: Runs) -> Run | None:
        """Begin a read that repeats one in the record, and so need not be recorded first."""
        repeated = self.attempts.repeat(runs)
        if repeated is not None:
            self.attempts.note(repeated)
            self.finish_by, self.finish_seconds = None, 0
        return repeated

    def _pass_on(self, portal: Portal, limit: int) -> bool:
        """Send an execution for whose result nothing has to wait. Return False if it is not one."""
        run, does = portal.run, portal.does
        if isinstance(does, Passes) or (run is not None and run.shown is not None):
            return False
        if run is not None and not limit and (run.limited or self._gate.block == "own"):
            return False
        self.send(self._execution(portal, limit), self._expected(portal, does))
        return True

    def _execution(self, portal: Portal, limit: int = 0) -> bytes:
        """Return the Execute message of a portal. If it has a name, it is first bound on the target."""
        self._gate.sends(portal.does, counted=portal.run is not None and portal.run.tried is None)
        if portal.unbound is not None:
            undo = functools.partial(setattr, portal, "unbound", portal.unbound)
            self.send(portal.bind(portal.name), Expected("bind", quiet=wire.BIND_COMPLETE, undo=undo))
            portal.unbound = None
        return wire.execute(portal.name, limit)

    def _expected(self, portal: Portal, does: Runs) -> Expected:
        expected = Expected("execute", run=portal.run, hidden=portal.hidden)
        if does.cursor:
            # The target has no portal of this name, or the DECLARE fails.
            self.attempts.done_with(self._names.drop_portal(does.cursor))
            expected.done = functools.partial(self._cursors.opened, does, portal.run)
        return expected

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
        elif self._pass_on(portal, limit):
            return True
        return run is None or await self._execute_and_wait(portal, does, run, change)

    async def _execute_and_wait(self, portal: Portal, does: Runs, run: Run, change: Change | None) -> bool:
        expected = self._expected(portal, does)
        if change is not None:
            expected.take = lambda values: change.take(texts(values))
        tag = await self.answer(self._execution(portal), expected)
        if tag is None or not await self._limits.keeps(run):
            return False
        complete = wire.message(wire.COMMAND_COMPLETE, tag)
        if change is not None:
            self._gate.ran(run, change)
        elif not does.cursor or run.most is None:
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
        if passes.cursor:
            cursor = await self._open_cursor(passes)
            if cursor is None:
                return False
            if passes.effect == "fetch" and cursor.run is not None:
                return await self._fetch(portal, cursor.run, limit)
        if passes.effect == "commit" and (self._gate.held or self._gate.must_ask):
            return await self._commit(portal, passes)
        message = self._execution(portal, limit)
        expected = Expected("execute", done=lambda: self._passed(passes))
        if self._gate.block == "own" and passes.effect == "setting" and not limit:
            expected.quiet = wire.COMMAND_COMPLETE
            tag = await self.answer(message, expected)
            self._commits.withhold(wire.message(wire.COMMAND_COMPLETE, tag or b""))
            return tag is not None
        self.send(message, expected)
        return True

    async def _open_cursor(self, passes: Passes) -> Cursor | None:
        """Return the cursor of a FETCH, MOVE or CLOSE. Refuse the statement if this cursor is not open."""
        # What was sent before may open or close cursors.
        pending = any(one.kind in ("execute", "close") for one in self.answers.expected)
        if pending and not await self._gate.own.drained():
            return None
        cursor = self._cursors.find(passes.cursor)
        if cursor is None:
            why = f"no cursor {clip(passes.cursor)} is open: DECLARE it in this transaction"
            self.refuse((await self.attempts.refused(passes.text, Refused(why, None, "cursor"))).answer)
        return cursor

    async def _fetch(self, portal: Portal, run: Run, limit: int) -> bool:
        if limit:
            self.refuse(NO_PARTS)
            return False
        complete = await self._limits.fetch(self._execution(portal), run)
        if complete is not None:
            self._commits.withhold(complete)
        return complete is not None

    async def _commit(self, portal: Portal, passes: Passes) -> bool:
        if not await self._commits.allowed():
            return False
        self._gate.commits()
        tag = await self.answer(self._execution(portal), Expected("execute"))
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
            self._cursors.closed(passes.cursor)
