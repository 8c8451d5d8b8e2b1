"""The cursors that a connection has opened by an allowed DECLARE, and that are still open on the target.

FETCH, MOVE and CLOSE are sent only for these, because PostgreSQL also accepts the names of portals there, and
executes the portal's statement. Cursors end with their transaction, or when it is rolled back to a savepoint
from before. Closing one is not rolled back. Source: PostgreSQL's documentation, "DECLARE" and "ROLLBACK TO
SAVEPOINT".
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from sessions_app.gateways.postgres.attempts import Attempts, Run
from sessions_app.policy.commands.postgres.statements import Runs


@dataclass(frozen=True, slots=True, eq=False)
class Cursor:
    """An open cursor. ``run`` is the run of its DECLARE if its rows are limited."""

    run: Run | None


class Cursors:
    """The open cursors of one connection, by their names. Call its methods in the order of the answers."""

    def __init__(self, attempts: Attempts) -> None:
        self._attempts = attempts
        self._open: dict[str, Cursor] = {}

    def find(self, name: str) -> Cursor | None:
        """Return the open cursor of this name."""
        return self._open.get(name)

    @property
    def all(self) -> frozenset[Cursor]:
        """All open cursors."""
        return frozenset(self._open.values())

    def opened(self, runs: Runs, run: Run | None) -> None:
        """Note that the target has opened the cursor of a DECLARE."""
        self._open[runs.cursor] = Cursor(run if runs.max_rows is not None else None)

    def closed(self, name: str = "") -> None:
        """Note that the target has closed a cursor, or all of them."""
        self._close([name] if name else list(self._open))

    def keep(self, cursors: frozenset[Cursor]) -> None:
        """Note that the target has closed all cursors but these."""
        self._close([name for name, cursor in self._open.items() if cursor not in cursors])

    def _close(self, names: Iterable[str]) -> None:
        for name in names:
            cursor = self._open.pop(name, None)
            if cursor is not None:
                self._attempts.done_with(cursor.run)
