"""Check whether one set of statements is within another, and at least as strict."""

from __future__ import annotations

from sessions_app.policy.commands.budgets import looser
from sessions_app.policy.commands.characters import clip
from sessions_app.policy.commands.parameters import Choice, Int, ParameterType
from sessions_app.policy.commands.postgres.sql.compiled import (
    CompiledStatement,
    Limits,
    Place,
    constant_fault,
)
from sessions_app.policy.commands.postgres.sql.pieces import Value
from sessions_app.policy.commands.postgres.sql.selects import select_fault
from sessions_app.policy.commands.postgres.sql.types import keeps
from sessions_app.policy.commands.postgres.statement_set import StatementSet
from sessions_app.policy.commands.within import UNDERSTATED, Names, type_within, understates


def covers(parent: StatementSet, child: StatementSet) -> str | None:
    """Return why the child may allow a statement that the parent does not allow, or allows only more
    strictly; None if it never does.

    Each statement of the child must be one of the parent's with values filled or narrowed, or a SELECT within
    its limits. For every statement that both could match, the child must hold, cut off and roll back whenever
    the parent does, and never understate the effect.
    """
    if parent.schema != child.schema and child.schema:
        return "names without a schema could refer to other tables than in the grant"
    for command in child.commands:
        if not any(_within(command, outer) for outer in parent.commands):
            return f"{clip(command.text)} is not covered by the grant"
        for outer in parent.commands:
            if may_meet(command, outer) and (why := _laxer(command, outer)):
                return f"{clip(command.text)} {why}"
    return None


def _within(inner: CompiledStatement, outer: CompiledStatement) -> bool:
    if outer.limits:
        return _within_limits(inner, outer.limits)
    names = Names()
    return (
        inner.statement is not None
        and inner.shape == outer.shape
        and all(
            _value_within(ours, theirs, names)
            for ours, theirs in zip(inner.places, outer.places, strict=True)
        )
    )


def _within_limits(inner: CompiledStatement, outer: Limits) -> bool:
    if inner.limits:
        return (
            inner.limits.tables <= outer.tables
            and inner.limits.columns <= outer.columns
            and (inner.limits.where_required or not outer.where_required)
            and (outer.limit is None or (inner.limits.limit or outer.limit + 1) <= outer.limit)
        )
    statement = inner.statement
    if statement is None or select_fault(outer, statement) is not None:
        return False
    if outer.limit is None or statement.limit is None:
        return True
    return _at_most(inner.places[statement.limit], outer.limit)


def _at_most(place: Place | Value, limit: int) -> bool:
    """Whether a LIMIT is always a number of rows, and at most this many."""
    fixed = place.bound if isinstance(place, Place) else place.text
    if fixed is not None:
        return _is_count(fixed, limit)
    type_ = place.type if isinstance(place, Place) else None
    if isinstance(type_, Int):
        return type_.bounds[0] >= 0 and type_.bounds[1] <= limit
    return isinstance(type_, Choice) and all(_is_count(text, limit) for text in type_.choices)


def _is_count(text: str, limit: int) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 10 and int(text) <= limit


def _value_within(ours: Place | Value, theirs: Place | Value, names: Names) -> bool:
    fixed = _fixed(ours)
    if _shows(ours, theirs):
        return False
    if fixed is None:
        same_cast = ours.cast == theirs.cast
        return (
            same_cast
            and isinstance(ours, Place)
            and isinstance(theirs, Place)
            and theirs.bound is None
            and type_within(ours.type, theirs.type)
            and names.place(theirs.name, ours.name)
        )
    if ours.cast != theirs.cast and (theirs.cast or not keeps(ours.cast, fixed.text)):
        return False
    if isinstance(theirs, Value):
        return constant_fault(theirs, fixed) is None
    matched: dict[str, str] = {}
    return theirs.fault(fixed, matched) is None and all(
        names.value(name, text) for name, text in matched.items()
    )


def _shows(ours: Place | Value, theirs: Place | Value) -> bool:
    """Whether the child would record a value that the parent keeps secret."""
    return isinstance(theirs, Place) and theirs.secret and not (isinstance(ours, Place) and ours.secret)


def _fixed(one: Place | Value) -> Value | None:
    """Return the only value that a place accepts; None if the place is free."""
    if isinstance(one, Value):
        return one
    return None if one.bound is None else Value("text", one.bound, cast=one.cast)


def may_meet(one: CompiledStatement, other: CompiledStatement) -> bool:
    """Whether some statement could match both commands. Returns True if in doubt."""
    if one.limits and other.limits:
        return bool(one.limits.tables & other.limits.tables)
    if one.limits:
        return other.statement is not None and select_fault(one.limits, other.statement) is None
    if other.limits:
        return may_meet(other, one)
    return one.shape == other.shape and all(
        _alike(ours, theirs) for ours, theirs in zip(one.places, other.places, strict=True)
    )


def _alike(ours: Place | Value, theirs: Place | Value) -> bool:
    mine, other = _fixed(ours), _fixed(theirs)
    if mine is not None and other is not None:
        return mine.text == other.text and (mine.kind == "null") == (other.kind == "null")
    fixed, free = (mine, theirs) if mine is not None else (other, ours)
    return fixed is None or not isinstance(free, Place) or _could_be(free.type, fixed)


def _could_be(type_: ParameterType, fixed: Value) -> bool:
    try:
        type_.accept(fixed.text)
    except ValueError:
        return False
    return fixed.kind != "null"


def _laxer(inner: CompiledStatement, outer: CompiledStatement) -> str | None:
    ours, theirs = inner.rule, outer.rule
    if theirs.held and not ours.held:
        return "would run without the approval that each run requires"
    if theirs.explained and not ours.explained:
        return "would be approved without its plan"
    if (ours.finish_seconds or 0) > (theirs.finish_seconds or 0):
        return "could continue for longer after the grant ends"
    if theirs.rows is not None and (ours.rows is None or ours.rows > theirs.rows):
        return "could change more rows"
    if theirs.secret and (inner.limits or any(map(_shows, inner.places, outer.places))):
        return "would record values that the grant keeps secret"
    if understates(ours.effect, theirs.effect):
        return f"{UNDERSTATED}: {clip(outer.text)}"
    return looser(ours.budget, theirs.budget)
