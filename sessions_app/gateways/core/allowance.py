"""The part of a budget that one run's result may use.

It is reserved before any data of the result is passed on.
"""

from __future__ import annotations

from collections.abc import Mapping

from broker.kernel import clock
from sessions_app.gateways.core.database import Database
from sessions_app.operations.sessions.charge_results import charge_results
from sessions_app.operations.sessions.try_command import Tried

BEYOND = "its result exceeds the budget"
# At most this much is reserved in advance, so that most chunks of a result need no database query.
_AHEAD: Mapping[str, int] = {"bytes": 256 * 1024, "rows": 500}


class Allowance:
    """The bytes and rows that one run may still pass on.

    Without budgets of bytes or rows, there is no limit.
    """

    def __init__(self, database: Database, tried: Tried) -> None:
        self._database, self._run_id = database, tried.run_id
        # Amounts that are reserved but not used yet.
        self.unused = dict.fromkeys(tried.counts, 0)
        self.rows = 0

    @property
    def counts(self) -> bool:
        """Whether results are counted."""
        return bool(self.unused)

    async def reserve(self, *, size: int = 0, rows: int = 0, exact: bool = True) -> bool:
        """Reserve bytes and rows before they pass, and return whether they may pass.

        Without ``exact``, more may be reserved for what follows. Raises StintError.
        """
        asked = {"bytes": size, "rows": rows}
        needed = {measure: max(0, asked[measure] - left) for measure, left in self.unused.items()}
        if not any(needed.values()):
            return True
        ahead = {} if exact else _AHEAD
        more = await self._database.run(_charge, run_id=self._run_id, needed=needed, ahead=ahead)
        for measure in self.unused:
            # A result that exceeds the budget uses it up, including the amount reserved for the result.
            self.unused[measure] = self.unused[measure] + more[measure] if more else 0
        return bool(more)

    async def take(self, *, size: int = 0, rows: int = 0, exact: bool = False) -> bool:
        """Use bytes and rows, and return whether they may pass. Raises StintError."""
        if not self.unused:
            return True
        if not await self.reserve(size=size, rows=rows, exact=exact):
            return False
        for measure, count in (("bytes", size), ("rows", rows)):
            if measure in self.unused:
                self.unused[measure] -= count
        self.rows += rows
        return True


def _charge(*, run_id: int, needed: Mapping[str, int], ahead: Mapping[str, int]) -> dict[str, int]:
    return charge_results(run_id=run_id, needed=needed, ahead=ahead, now=clock.now())
