"""Whether a SELECT is within the limits of a rule."""

from __future__ import annotations

from sessions_app.policy.commands.characters import clip
from sessions_app.policy.commands.postgres.sql.compiled import Limits
from sessions_app.policy.commands.postgres.sql.forms import SAFE_FUNCTIONS
from sessions_app.policy.commands.postgres.sql.pieces import Value
from sessions_app.policy.commands.postgres.sql.reading import Statement


def select_fault(limits: Limits, statement: Statement) -> str | None:
    """Return, as a clause, why a SELECT is not within the limits; None if it is within the limits for any
    values of its parameters.

    `limit_fault` checks the value of its LIMIT.
    """
    return _form_fault(statement) or _name_fault(limits, statement) or _rows_fault(limits, statement)


def _form_fault(statement: Statement) -> str | None:
    if statement.verb != "SELECT":
        return "only SELECT is allowed"
    if not statement.tables:
        return "the statement reads no table"
    if statement.starred:
        return "write the columns instead of *"
    return "a cast names a type that is not PostgreSQL's own" if statement.own_types else None


def _name_fault(limits: Limits, statement: Statement) -> str | None:
    for table in statement.tables:
        if table not in limits.tables:
            return f"{clip(str(table))} is not one of the tables"
    for column in statement.read:
        if column not in limits.columns:
            return f"{clip(column.name)} is not one of the columns of {column.table}"
    for name in statement.functions:
        if name not in SAFE_FUNCTIONS:
            return f"the function {clip(name)} is not allowed"
    return None


def _rows_fault(limits: Limits, statement: Statement) -> str | None:
    if limits.where_required and not statement.narrowed:
        return "it needs a WHERE that compares a column with a value"
    if limits.limit is not None and statement.limit is None and not statement.one_row:
        return f"the statement needs LIMIT {limits.limit} or less"
    return None


def limit_fault(limits: Limits, statement: Statement, values: tuple[Value, ...]) -> str | None:
    """Return, as a clause, why the value of LIMIT is too high; None if it is not."""
    if limits.limit is None or statement.limit is None:
        return None
    text = values[statement.limit].text
    if text.isascii() and text.isdigit() and len(text) < 10 and int(text) <= limits.limit:
        return None
    return f"LIMIT must be at most {limits.limit}"
