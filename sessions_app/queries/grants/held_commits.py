"""The changes of a transaction that is held at its COMMIT, for the people who can decide the hold."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from accounts.models import Identity
from broker.kernel.crypto import place_of, unseal
from sessions_app.models import CommandRun, Grant, HeldCommit
from sessions_app.queries.requests.deciders import may_not_decide_in


@dataclass(frozen=True, slots=True)
class Cell:
    """The value of one column in one row, before and after; None is NULL.

    ``state`` is `same`, `changed`, `added` or `removed`.
    """

    column: str
    before: str | None
    after: str | None
    state: str


@dataclass(frozen=True, slots=True)
class HeldStatement:
    """One statement of a held transaction.

    ``touched`` is how many rows it changed, and ``rows`` some of them. ``notes`` are sentences about what the
    rows don't show, and ``plan`` is the server's plan if the rule shows it.
    """

    line: str
    touched: int
    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    notes: Sequence[str]
    plan: str

    @property
    def unseen(self) -> int:
        """How many of its rows are not shown."""
        return max(0, self.touched - len(self.rows))


def readable_commits(
    reader: Identity, grant: Grant, runs: Iterable[CommandRun]
) -> dict[int, list[HeldStatement]]:
    """Return the statements of held transactions of a grant by the ids of their runs; empty unless the reader
    may decide on them.
    """
    held = [run.pk for run in runs if hasattr(run, "held_commit")]
    if not held or may_not_decide_in(grant, reader):
        return {}
    found = HeldCommit.objects.filter(run__in=held, run__grant=grant)
    return {one.run_id: statements_of(one) for one in found}


def statements_of(held: HeldCommit) -> list[HeldStatement]:
    """Return the statements of a held transaction. Raises CannotDecrypt."""
    text = unseal(bytes(held.sealed_content), place=place_of(held, "sealed_content"))
    return [_statement(one) for one in json.loads(text)["statements"]]


def _statement(one: Mapping[str, Any]) -> HeldStatement:
    return HeldStatement(
        line=one["line"],
        touched=one["touched"],
        columns=one["columns"],
        rows=[list(_cells(one["columns"], *pair)) for pair in one["rows"]],
        notes=one["notes"],
        plan=one["plan"],
    )


def _cells(
    columns: Sequence[str], before: Sequence[str | None] | None, after: Sequence[str | None] | None
) -> Iterator[Cell]:
    for at, column in enumerate(columns):
        old = None if before is None else before[at]
        new = None if after is None else after[at]
        state = (
            "removed" if after is None else "added" if before is None else "same" if old == new else "changed"
        )
        yield Cell(column, old, new, state)
