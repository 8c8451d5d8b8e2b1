"""Limits on the rows of a statement. The rows of a cursor count together, however they are fetched."""

from __future__ import annotations

from sessions_app.gateways.core.allowance import BEYOND
from sessions_app.gateways.postgres import wire
from sessions_app.gateways.postgres.answers import Expected, rows_of
from sessions_app.gateways.postgres.attempts import REFUSED, Run
from sessions_app.gateways.postgres.sending import Sending

NOT_SUPPORTED = "0A000"
NO_PARTS = wire.error(NOT_SUPPORTED, "Row limits are unsupported here.", hint="Read all rows at once.")


class Limits:
    """The limits of one connection's statements."""

    def __init__(self, both: Sending) -> None:
        self._both = both

    async def keeps(self, run: Run) -> bool:
        """Whether a statement that has ended kept its limits. If not, its transaction fails."""
        why = await self._over(run)
        if why and run in self._both.attempts.open:
            self._both.attempts.finish(run, "failed", f"{why}; rolled back")
        if why:
            text = f"Stint refused this statement: {why}. Its transaction is rolled back."
            self._both.refuse(wire.error(REFUSED, text))
        return not why

    async def _over(self, run: Run) -> str:
        """Return, as a clause, which limit a statement that has ended exceeds; empty if none."""
        if run.most is not None and run.rows > run.most:
            return f"it touched {run.rows} rows, and may touch at most {run.most}"
        if run.allowance is not None and not run.beyond:
            # Rows that it changed, but did not return.
            unreturned = max(0, run.rows - run.allowance.rows)
            run.beyond = not await run.allowance.take(rows=unreturned, exact=True)
        return BEYOND if run.beyond else ""

    async def fetch(self, message: bytes, run: Run) -> bytes | None:
        """Execute a FETCH or MOVE of a cursor with limited rows.

        Return its CommandComplete, or None if it failed or was refused.
        """
        before = run.rows
        tag = await self._both.answer(message, Expected("execute", run=run))
        if tag is None:
            return None
        if tag.startswith(b"MOVE"):
            run.rows = before + rows_of(tag)
        return wire.message(wire.COMMAND_COMPLETE, tag) if await self.keeps(run) else None
