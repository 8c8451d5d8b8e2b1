"""Commands and transfers that holders start on a grant's page. The same code runs them as over SSH."""

from __future__ import annotations

import datetime as dt

from sessions_app.gateways.core.orders import PROOF
from sessions_app.gateways.core.registry import OpenSession, Registry
from sessions_app.gateways.ssh.commands import CommandExecution
from sessions_app.gateways.ssh.ordered_files import OrderedTransfer
from sessions_app.gateways.ssh.parts import Parts
from sessions_app.gateways.ssh.relay import Feed
from sessions_app.operations.sessions.authorize_use import used_from
from sessions_app.operations.sessions.claim_order import Claimed
from sessions_app.operations.sessions.proofs.holder import Use
from sessions_app.policy.commands.ssh.decide import decide


async def run_ordered(parts: Parts, registry: Registry, claimed: Claimed) -> None:
    """Try the line of an order and run it if allowed. Raises StintError if nothing could be recorded."""
    if not isinstance(claimed.use, Use):
        raise AssertionError  # noqa: TRY004  # an endpoint gets only orders of its own protocol
    if claimed.file is not None:
        await OrderedTransfer(parts, registry, claimed, claimed.use, claimed.file).run()
        return
    await Ordered(parts, registry, claimed, claimed.use).run()


class Ordered:
    """One order, as the only user of its session. It has no input, and its output goes only to the
    recording.
    """

    def __init__(self, parts: Parts, registry: Registry, claimed: Claimed, use: Use) -> None:
        """Raises Ended if the grant has ended."""
        use = used_from(use, claimed.client_address)
        self._session = OpenSession(registry, use, client_address=claimed.client_address, proof=PROOF)
        decision = decide(use.compiled, claimed.line)
        self._command = CommandExecution(
            parts, self._session, claimed.line, decision, self, order_id=claimed.order_id
        )

    async def run(self) -> None:
        """Try the line and run it if allowed. Raises StintError if nothing could be recorded."""
        try:
            self._session.enter(self)
            await self._command.run()
        finally:
            self._session.leave(self)
            self._session.close("done")

    # The ``User`` interface of its session.

    @property
    def finish_by(self) -> dt.datetime | None:
        """The time until which the command may run past the grant's end."""
        return self._command.finish_by

    @property
    def finish_seconds(self) -> int:
        """The number of seconds that the command may run past the grant's end."""
        return self._command.finish_seconds

    def tell(self, text: str) -> None:
        """Do nothing: the page has its own countdown."""

    def stop(self, reason: str) -> None:
        """Cut the command immediately."""
        self._command.stop(reason)

    # The input and output of its command.

    def output(self, data: bytes, *, error: bool) -> None:
        """Do nothing: the recorder already has it."""

    def note(self, text: str) -> None:
        """Do nothing: the page shows the run's state from the database."""

    def attach(self, feed: Feed | None) -> None:
        """Send EOF immediately: there is no input."""
        if feed is not None:
            feed.eof()

    def pause_input(self) -> None:
        """Do nothing: no input is sent."""

    def resume_input(self) -> None:
        """Do nothing: no input is sent."""
