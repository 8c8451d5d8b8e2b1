"""The COMMIT of one connection's transactions, once a second person has approved them."""

from __future__ import annotations

import datetime as dt
from typing import Any

import structlog
from django.conf import settings

from broker.kernel import clock
from broker.kernel.errors import StintError
from sessions_app.gateways.core.attempts import NotReleased, released
from sessions_app.gateways.core.endpoint import Shared
from sessions_app.gateways.core.registry import OpenSession
from sessions_app.gateways.postgres import wire
from sessions_app.gateways.postgres.answers import IDLE
from sessions_app.gateways.postgres.attempts import REFUSED, NotRun, error_of
from sessions_app.gateways.postgres.changes import content_of
from sessions_app.gateways.postgres.gate import Gate
from sessions_app.gateways.postgres.sending import CANCELED_BY_CLIENT, Canceled, Sending
from sessions_app.operations.sessions.authorize_use import AnyUse
from sessions_app.operations.sessions.hold_commit import hold_commit
from sessions_app.operations.sessions.proofs.postgres import StatementUse
from sessions_app.operations.sessions.suspend_unapproved_write import suspend_unapproved_write
from sessions_app.operations.sessions.try_command import Tried
from sessions_app.policy.commands.answers import Allowed, Refused

log = structlog.get_logger(__name__)

# The transaction's ID, which it has once it has written something.
_WRITTEN = "SELECT pg_catalog.txid_current_if_assigned()::pg_catalog.text"
UNAPPROVED_WRITE = (
    "Stint refused this transaction: it has changed data, and no statement in it was allowed to. It is rolled"
    " back, and the grant is suspended."
)


class Commits:
    """Decides when the COMMIT of a held transaction is sent."""

    def __init__(self, shared: Shared, session: OpenSession[StatementUse], gate: Gate, both: Sending) -> None:
        self._shared, self._session, self._gate, self._both = shared, session, gate, both
        # The message that completes the last statement in the gateway's own block. Sent to the client after
        # the COMMIT.
        self._withheld = b""

    def withhold(self, complete: bytes) -> None:
        """Send the message that completes a statement.

        In the gateway's own block, keep it until the next statement or the COMMIT.
        """
        self._withheld = complete
        if self._gate.block != "own":
            self.show()

    def show(self) -> None:
        """Send the message that was kept, if any."""
        if self._withheld:
            self._both.to_client(self._withheld)
            self._withheld = b""

    async def end_block(self) -> None:
        """End the gateway's own block at the client's Sync."""
        if self._gate.block == "own":
            await self._end_block()
        self.forget()

    def forget(self) -> None:
        """Drop the message that was kept, if any: its transaction has not been committed."""
        self._withheld = b""

    async def _end_block(self) -> None:
        gate = self._gate
        goes_on = not self._both.answers.skips and await gate.own.drained()
        if goes_on and gate.block != "own":
            # The client has taken over the block with BEGIN, or ended it.
            return
        if goes_on and await self.allowed():
            gate.commits()
            if await gate.own.ask("COMMIT") is not None:
                gate.committed()
                self.show()
                return
        if await gate.own.sync() != IDLE and gate.block == "own":
            await gate.roll_back("a statement of its transaction failed")

    async def allowed(self) -> bool:
        """Wait until the transaction may be committed.

        Return False if it has failed or is rolled back; the client then has the error.
        """
        if not await self._gate.own.drained():
            return False
        if self._gate.failed:
            return True
        if not await self.is_approved():
            return False
        if not self._gate.held:
            return True
        if not await self._gate.still():
            return False
        try:
            await self._both.wait(self._approved())
        except NotRun as error:
            await self._gate.roll_back("not approved")
            self._both.refuse(error.answer)
            return False
        except Canceled as error:
            await self._gate.roll_back(CANCELED_BY_CLIENT, "cut")
            self._both.refuse(error.answer)
            return False
        self._session.check()
        return True

    async def is_approved(self) -> bool:
        """Whether the transaction has written nothing, or the record allowed something that may write.

        Otherwise it is rolled back, its grant is suspended, and the client has the error: statements ran that
        no one approved. Returns False as well if the transaction has failed.
        """
        if not self._gate.must_ask:
            return True
        written = await self._gate.own.ask(_WRITTEN, 1)
        if written is None or written[0][0] is None:
            return written is not None
        use = self._session.use
        log.error("postgres.unapproved_write", grant=use.grant_ref, target=use.target.name)
        await self._gate.roll_back("it wrote without approval", "failed")
        self._both.refuse(wire.error(REFUSED, UNAPPROVED_WRITE))
        await self._shared.database.run(_suspend, grant_id=use.grant_id, target=use.target.name)
        return False

    async def _approved(self) -> None:
        """Wait until a second person approves. Raises NotRun."""
        runs = list(self._gate.held)
        lead = runs[0]
        try:
            tried = await self._shared.database.run(
                _hold,
                use=self._session.use,
                run_ids=[run.entry.run_id for run in runs],
                decision=lead.entry.decision,
                content=content_of(list(self._gate.held.values())),
            )
            if isinstance(tried.decision, Refused):
                raise NotRun(wire.error(REFUSED, f"Stint refused this transaction: {tried.message}"))
            self._both.say(tried.message)
            lead.tried = await released(self._shared, self._session.use, tried)
        except NotReleased as error:
            self._gate.settle(lead, error.state)
            raise NotRun(wire.error(REFUSED, f"{error.message} The transaction is rolled back.")) from error
        except StintError as error:
            raise NotRun(error_of(error)) from error


def _suspend(*, grant_id: int, target: str) -> None:
    suspend_unapproved_write(grant_id=grant_id, target=target, now=clock.now())


def _hold(*, use: AnyUse, run_ids: list[int], decision: Allowed, content: dict[str, Any]) -> Tried:
    lasts = dt.timedelta(seconds=settings.COMMIT_HOLD_SECONDS)
    return hold_commit(
        use=use, run_ids=run_ids, decision=decision, content=content, lasts=lasts, now=clock.now()
    )
