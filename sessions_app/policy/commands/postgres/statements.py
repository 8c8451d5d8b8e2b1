"""Decide on SQL statements, with the only functions that decide for the gateway, the tester, the API and the
pages.

The text to send is never the client's. It is the canonical form of what was decided, with complete names. If
several commands match, the strictest decides: held first, then destructive before change before read.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from functools import partial
from itertools import takewhile
from operator import eq

from postgast.pg_query_pb2 import RawStmt

from sessions_app.policy.commands.answers import Allowed, Refused, amounts_in
from sessions_app.policy.commands.budgets import AmountRefused
from sessions_app.policy.commands.characters import hidden_at, show
from sessions_app.policy.commands.postgres.runs import Runs, recorded
from sessions_app.policy.commands.postgres.sql.compiled import CompiledStatement, Place, constant_fault
from sessions_app.policy.commands.postgres.sql.parsing import SQLRefused, parse
from sessions_app.policy.commands.postgres.sql.passes import Passes, read_pass
from sessions_app.policy.commands.postgres.sql.pieces import Value, identifier
from sessions_app.policy.commands.postgres.sql.reading import Statement, read_statement
from sessions_app.policy.commands.postgres.sql.selects import limit_fault, select_fault
from sessions_app.policy.commands.postgres.sql.showing import Shown, shown_of
from sessions_app.policy.commands.postgres.sql.types import declared_type, keeps
from sessions_app.policy.commands.postgres.statement_set import StatementSet
from sessions_app.policy.commands.postgres.texts import Read, declared, exact, sent

MAX_STATEMENTS = 100
_SCROLLS = {0x2: "SCROLL ", 0x4: "NO SCROLL "}
_SCROLL = 0x2 | 0x4
# ASENSITIVE, INSENSITIVE and the planner's own option have no effect on results.
_HARMLESS = 0x8 | 0x10 | 0x100

__all__ = ("Passes", "Prepared", "Runs", "decide_line", "decide_text", "prepare")


def decide_text(compiled: StatementSet, text: str) -> tuple[Passes | Runs | Refused, ...]:
    """Decide every statement of a text, before the first is sent. Never raises because of the text.

    A text that can't be parsed yields one refusal, and an empty text passes.
    """
    try:
        statements = parse(text)
        if len(statements) > MAX_STATEMENTS:
            raise SQLRefused(f"a message has at most {MAX_STATEMENTS} statements: send them one by one")
    except SQLRefused as error:
        return (_refused(compiled, error),)
    if not statements:
        return (Passes("", "empty"),)
    return tuple(_decided(compiled, one) for one in statements)


def decide_line(compiled: StatementSet, line: str) -> Allowed | Refused:
    """Decide one statement as typed. Never raises because of the line."""
    found = decide_text(compiled, line)
    refused = next((one for one in found if isinstance(one, Refused)), None)
    if refused is not None:
        return refused
    if len(found) > 1:
        return Refused("write one statement at a time", None, "syntax")
    if isinstance(found[0], Runs):
        return found[0].allowed
    if not compiled.commands:
        return Refused("nothing is allowed: the list of commands is empty", None, "empty")
    return Refused("the gateway passes this statement on without a rule: it is not a command", None, "passes")


def prepare(compiled: StatementSet, text: str, types: Sequence[int] = ()) -> Prepared | Passes | Refused:
    """Decide a text of one statement whose parameters are bound later. Never raises because of the text.

    ``types`` are the OIDs of the parameters' types as the client declares them; 0 for none.
    """
    statements: Sequence[RawStmt] = ()
    try:
        statements = parse(text)
        if not statements:
            return Passes("", "empty")
        if len(statements) > 1:
            raise SQLRefused("a prepared statement must be one statement", "syntax")
        passes = read_pass(statements[0])
        if passes is not None:
            return passes
        declared = tuple(map(declared_type, types))
        read = _read(compiled, statements[0], declared)
    except SQLRefused as error:
        return _refused(compiled, error, statements)
    return _prepared(compiled, read)


def _prepared(compiled: StatementSet, read: Read) -> Prepared | Refused:
    statement = read.statement
    places = max((value.number for value in statement.values), default=0)
    if places and read.before:
        return Refused("a cursor can't have parameters: write out their values", None, "value")
    fits = [one for one in _candidates(compiled, statement) if _fits_form(one, read)]
    if not fits:
        return _explain(compiled, read, statement.values)
    shown = next((shown_of(one, statement) for one in fits if one.at_commit), None)
    return Prepared(sent(fits[0], read), places, shown, compiled, read, tuple(fits))


def _fits_form(command: CompiledStatement, read: Read) -> bool:
    """Whether a statement can match, depending on the values of its parameters."""
    if command.limits:
        return _fits_limits(command, read)
    return all(
        value.kind == "bound" or _fault(place, value, {}) is None
        for place, value in zip(command.places, read.statement.values, strict=True)
    )


def _fits_limits(command: CompiledStatement, read: Read) -> bool:
    return command.limits is None or select_fault(command.limits, read.statement) is None


@dataclass(frozen=True, slots=True)
class Prepared:
    """A prepared statement.

    ``text`` is the SQL to send, and ``places`` the number of its parameters. ``shown`` has the details that
    approvers see, if some values cause it to be held at its COMMIT.
    """

    text: str
    places: int
    shown: Shown | None
    _compiled: StatementSet = field(repr=False)
    _read: Read = field(repr=False)
    _commands: tuple[CompiledStatement, ...] = field(repr=False)

    def bind(self, values: Sequence[str | None]) -> Runs | Refused:
        """Decide the statement with these values, in text form; None is NULL."""
        if len(values) < self.places:
            return Refused(f"the statement has {self.places} parameters: bind them all", None, "value")
        for given in values:
            at = None if given is None else hidden_at(given)
            if given is not None and at is not None:
                return Refused(f"a value contains {show(given[at])}, which is invisible", None, "value")
        bound = tuple([_bound(value, values) for value in self._read.statement.values])
        found = _first(self._compiled, self._commands, self._read, bound)
        return found or _explain(self._compiled, self._read, bound)


def _bound(value: Value, values: Sequence[str | None]) -> Value:
    if value.kind != "bound":
        return value
    given = values[value.number - 1]
    return Value("bound" if given is not None else "null", given or "", value.number, value.cast)


def _decided(compiled: StatementSet, raw: RawStmt) -> Passes | Runs | Refused:
    try:
        passes = read_pass(raw)
        if passes is not None:
            return passes
        read = _read(compiled, raw, ())
        if any(value.kind == "bound" for value in read.statement.values):
            raise SQLRefused("a parameter such as $1 needs a prepared statement: write the value", "value")
    except SQLRefused as error:
        return _refused(compiled, error, [raw])
    values = read.statement.values
    commands = (one for one in _candidates(compiled, read.statement) if _fits_limits(one, read))
    return _first(compiled, commands, read, values) or _explain(compiled, read, values)


def _read(compiled: StatementSet, raw: RawStmt, declared: tuple[str, ...]) -> Read:
    if raw.stmt.WhichOneof("node") != "declare_cursor_stmt":
        return Read(read_statement(raw.stmt, compiled.schema), "", declared)
    cursor = raw.stmt.declare_cursor_stmt
    if cursor.options & ~(_SCROLL | _HARMLESS):
        raise SQLRefused("BINARY cursors, and cursors WITH HOLD, are not allowed")
    scroll = _SCROLLS.get(cursor.options & _SCROLL, "")
    before = f"DECLARE {identifier(cursor.portalname)} {scroll}CURSOR FOR "
    if hidden_at(before) is not None:
        raise SQLRefused("the name of the cursor contains an invisible character", "syntax")
    statement = read_statement(cursor.query, compiled.schema)
    if statement.verb != "SELECT":
        raise SQLRefused("a cursor is only allowed for SELECT")
    return Read(statement, before, cursor=cursor.portalname)


def _candidates(compiled: StatementSet, statement: Statement) -> Sequence[CompiledStatement]:
    """Return the commands that may match, strictest first."""
    same = compiled.by_shape.get(statement.shape, ())
    if statement.verb != "SELECT" or not compiled.selects:
        return same
    if not same:
        return compiled.selects
    return sorted((*same, *compiled.selects), key=lambda one: one.strictness)


def _first(
    compiled: StatementSet,
    commands: Iterable[CompiledStatement],
    read: Read,
    values: tuple[Value, ...],
) -> Runs | Refused | None:
    """Decide by the first of these commands whose values fit. The form of the statement must fit all."""
    for command in commands:
        matched: dict[str, str] = {}
        if _values_fault(command, read, values, matched) is None:
            if command.rule.budget or compiled.budget:
                return _counted(compiled, command, read, values, matched)
            return _runs(command, read, values, matched, {})
    return None


def _counted(
    compiled: StatementSet,
    command: CompiledStatement,
    read: Read,
    values: tuple[Value, ...],
    matched: dict[str, str],
) -> Runs | Refused:
    """Allow a statement that counts against budgets, if it can be counted."""
    budgets = (*command.rule.budget, *compiled.budget)
    if read.before and any(one.measure in ("bytes", "rows") for one in budgets):
        return Refused("the rows of a cursor can't be counted: select without one", None, "value")
    try:
        amounts = amounts_in(command.rule, {**compiled.bindings, **matched})
    except AmountRefused as error:
        return Refused(str(error), command.text, "value")
    return _runs(command, read, values, matched, amounts)


def _command_fault(
    command: CompiledStatement, read: Read, values: tuple[Value, ...], matched: dict[str, str]
) -> str | None:
    """Return, as a clause, why a statement with these values does not match; None if it does."""
    form_fault = select_fault(command.limits, read.statement) if command.limits else None
    return form_fault or _values_fault(command, read, values, matched)


def _values_fault(
    command: CompiledStatement, read: Read, values: tuple[Value, ...], matched: dict[str, str]
) -> str | None:
    if command.limits:
        return limit_fault(command.limits, read.statement, values)
    for place, value in zip(command.places, values, strict=True):
        fault = _fault(place, value, matched) or _declared_fault(place, value, read)
        if fault:
            return fault
    return None


def _fault(place: Place | Value, value: Value, matched: dict[str, str]) -> str | None:
    return place.fault(value, matched) if isinstance(place, Place) else constant_fault(place, value)


def _declared_fault(place: Place | Value, value: Value, read: Read) -> str | None:
    type_ = declared(value, read)
    if not type_ or type_ == place.cast or value.kind == "null" or keeps(type_, value.text):
        return None
    return f"the parameter ${value.number} is declared as {type_}, which could change its value: declare none"


def _runs(
    command: CompiledStatement,
    read: Read,
    values: tuple[Value, ...],
    matched: dict[str, str],
    amounts: dict[str, Decimal],
) -> Runs:
    shown = _shown(command, read, values) if command.at_commit else None
    record = partial(recorded, command, read, values, matched, amounts)
    return Runs(sent(command, read), command, shown, read.cursor, record)


def _shown(command: CompiledStatement, read: Read, values: tuple[Value, ...]) -> Shown | None:
    return shown_of(command, read.statement, list(exact(command, read, values)))


def _refused(compiled: StatementSet, error: SQLRefused, statements: Sequence[RawStmt] = ()) -> Refused:
    if not compiled.commands and error.code != "syntax":
        return Refused("nothing is allowed: the list of commands is empty", None, "empty")
    kind = statements[0].stmt.WhichOneof("node") if statements else ""
    same = [one.text for one in compiled.commands if f"{one.verb.lower()}_stmt" == kind]
    nearest = next(iter([*same, *(one.text for one in compiled.commands)]), None)
    return Refused(error.reason, nearest, error.code)


def _explain(compiled: StatementSet, read: Read, values: tuple[Value, ...]) -> Refused:
    """Explain why nothing matches: the first difference from the nearest command."""
    statement = read.statement
    for one in compiled.left_out:
        if (one.limits or one.shape == statement.shape) and not _command_fault(one, read, values, {}):
            return Refused("the approvers excluded this command from the grant", None, "left_out")
    if not compiled.commands:
        return Refused("nothing is allowed: the list of commands is empty", None, "empty")
    for one in compiled.by_shape.get(statement.shape, ()):
        return Refused(_command_fault(one, read, values, {}) or "a value is not allowed", one.text, "value")
    nearest = max(compiled.commands, key=lambda one: _likeness(one, statement))
    if nearest.limits and statement.verb == "SELECT":
        fault = _command_fault(nearest, read, values, {})
        return Refused(fault or "a value is not allowed", nearest.text, "statement")
    what = f"{statement.verb} of {statement.tables[0]}" if statement.tables else statement.verb
    return Refused(f"no command allows this {what}", nearest.text, "statement")


def _likeness(one: CompiledStatement, statement: Statement) -> tuple[bool, int, int, int]:
    tables = one.limits.tables if one.limits else frozenset(one.statement.tables if one.statement else ())
    same = sum(takewhile(bool, map(eq, str(one.shape and one.shape[0]), str(statement.shape[0]))))
    return (one.verb == statement.verb, len(tables.intersection(statement.tables)), same, -one.index)
