"""The rows of a statement before and after it, within limits, as its hold shows them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from sessions_app.gateways.postgres.own import Row, TableFacts
from sessions_app.policy.commands.characters import hidden_at
from sessions_app.policy.commands.postgres.sql.showing import MAX_ROWS, Shown

# The maximum number of characters of one value and of one plan, and of bytes of all that approvers see.
MAX_VALUE, MAX_PLAN, MAX_BYTES = 200, 4000, 64 * 1024
HIDES = "A value of the statement is secret, so its rows and its plan are not shown."
UNPAIRED = "The grant can't read a key of the table, so rows before and after can't be matched."
TRIGGERS = "The table has triggers, which may change more than these rows."
CASCADES = "Other tables refer to this one, and their rows may change as well."


@dataclass(slots=True, eq=False)
class Change:
    """One statement that waits for its COMMIT, with the details that approvers see."""

    line: str
    shown: Shown
    facts: TableFacts
    before: list[Row] = field(default_factory=list)
    after: list[Row] = field(default_factory=list)
    plan: str = ""
    rows: int = 0

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns of its rows."""
        return self.shown.named(self.facts.keys)

    def take(self, row: Row) -> None:
        """Keep a row that the statement returned, if approvers will see this row."""
        if self.shown.secret or len(self.after) >= MAX_ROWS:
            return
        wanted = {self._identity(one) for one in self.before}
        if not wanted or self._identity(row) in wanted or len(self.before) < MAX_ROWS:
            self.after.append(row)

    def _identity(self, row: Row) -> Row:
        keys = self.facts.keys or [name for name in self.columns if name not in self.shown.written]
        return tuple(value for name, value in zip(self.columns, row, strict=True) if name in keys)

    def pairs(self) -> list[tuple[Row | None, Row | None]]:
        """Return the rows before and after, in pairs."""
        if self.shown.verb == "DELETE":
            return [(row, None) for row in self.after]
        if self.shown.verb == "INSERT":
            return [(None, row) for row in self.after]
        if not self.matches:
            return [*((row, None) for row in self.before), *((None, row) for row in self.after)]
        after = {self._identity(row): row for row in self.after}
        known: list[tuple[Row | None, Row | None]] = [
            (row, after.pop(self._identity(row), None)) for row in self.before
        ]
        return [*known, *((None, row) for row in after.values())]

    @property
    def matches(self) -> bool:
        """Whether rows before and after can be matched."""
        if self.shown.written.intersection(self.facts.keys):
            return False
        before, after = ([self._identity(row) for row in rows] for rows in (self.before, self.after))
        return all(before + after) and all(len(set(rows)) == len(rows) for rows in (before, after))

    def notes(self) -> list[str]:
        """Return sentences about effects that the rows don't show."""
        update = self.shown.verb == "UPDATE" and not self.shown.secret
        said = (
            (self.shown.secret, HIDES),
            (update and not self.matches, UNPAIRED),
            (self.facts.triggers, TRIGGERS),
            (self.facts.cascades and self.shown.verb != "INSERT", CASCADES),
        )
        return [text for holds, text in said if holds]


def content_of(changes: Sequence[Change]) -> dict[str, Any]:
    """Return the details of all statements of a transaction that approvers see, as JSON within the size
    limits.
    """
    found: list[dict[str, Any]] = [_statement(change) for change in changes]
    left, shown = MAX_BYTES - _size(found), 0
    for statement in found:
        if left < 0:
            left += len(statement["plan"])
            statement["plan"] = ""
    for change, statement in zip(changes, found, strict=True):
        for before, after in change.pairs():
            pair = [_values(before), _values(after)]
            left -= _size(pair)
            if shown >= MAX_ROWS or left < 0:
                break
            shown += 1
            statement["rows"].append(pair)
    return {"statements": found}


def _size(value: object) -> int:
    return len(json.dumps(value))


def _statement(change: Change) -> dict[str, Any]:
    return {
        "line": change.line,
        "verb": change.shown.verb,
        "touched": change.rows,
        "columns": [visible(name, MAX_VALUE) for name in change.columns],
        "changed": [name in change.shown.written for name in change.columns],
        "rows": [],
        "notes": change.notes(),
        "plan": "\n".join(visible(line, MAX_VALUE) for line in change.plan.splitlines())[:MAX_PLAN],
    }


def _values(row: Row | None) -> list[str | None] | None:
    return None if row is None else [None if one is None else visible(one, MAX_VALUE) for one in row]


def visible(text: str, length: int) -> str:
    """Return a text with control and invisible characters escaped, shortened to at most ``length``."""
    short = text if len(text) <= length else f"{text[: length - 1]}…"
    return short if hidden_at(short) is None else "".join(_written(short))


def _written(text: str) -> Iterable[str]:
    for char in text:
        if hidden_at(char) is None:
            yield char
        else:
            yield chr(0x2400 + ord(char)) if ord(char) < 0x20 else f"\\u{ord(char):04x}"
