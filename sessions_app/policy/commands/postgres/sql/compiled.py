"""Statements of one grant, compiled for the gateway, the connector and the tester."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from sessions_app.policy.commands import answers
from sessions_app.policy.commands.characters import clip
from sessions_app.policy.commands.document import EFFECT_RANK
from sessions_app.policy.commands.parameters import Int, ParameterType, ValueRefused
from sessions_app.policy.commands.postgres.privileges import Privilege
from sessions_app.policy.commands.postgres.sql.expressions import Column, Table
from sessions_app.policy.commands.postgres.sql.pieces import Shape, Value, literal, render
from sessions_app.policy.commands.postgres.sql.reading import Statement, Verb
from sessions_app.policy.commands.postgres.sql.rules import StatementRule
from sessions_app.policy.commands.postgres.sql.types import keeps

WRITING = ("INSERT", "UPDATE", "DELETE")


class Place(NamedTuple):
    """The place of a parameter's value: its type, the grant's value if it has one, and the rule's cast.

    ``secret``: its values are recorded and shown only as digests.
    """

    name: str
    type: ParameterType
    bound: str | None
    cast: str
    secret: bool = False

    def fault(self, value: Value, matched: dict[str, str]) -> str | None:
        """Return, as a clause, why a value does not fit; None if it does. Adds the value to ``matched``."""
        if value.kind == "null":
            return f"{self.name} can't be NULL: it needs {self.type.wanted}"
        if value.cast not in ("", self.cast) and (self.cast or not keeps(value.cast, value.text)):
            return f"{self.name} is cast to {value.cast}, which could change it: remove the cast"
        if self.bound is not None:
            return None if value.text == self.bound else f"{self.name} must be {clip(self.bound)}"
        try:
            self.type.accept(value.text)
        except ValueRefused as error:
            return error.of(self.name)
        if matched.setdefault(self.name, value.text) != value.text:
            return f"{self.name} must have the same value everywhere"
        return None


def constant_fault(wanted: Value, value: Value) -> str | None:
    """Return, as a clause, why a value differs from a rule's constant; None if it does not."""
    same = value.text == wanted.text and (value.kind == "null") == (wanted.kind == "null")
    if same and (value.cast in ("", wanted.cast) or (not wanted.cast and keeps(value.cast, value.text))):
        return None
    return f"{literal(wanted)} is fixed, and can't be {clip(literal(value))}"


@dataclass(frozen=True, slots=True)
class Limits:
    """The tables, columns and rows that a SELECT may read."""

    tables: frozenset[Table]
    columns: frozenset[Column]
    where_required: bool
    limit: int | None


@dataclass(frozen=True, slots=True)
class CompiledStatement(answers.CompiledCommand):
    """One command of a compiled set: a statement with places, or the limits of a SELECT.

    ``text`` is the command as pages show it. ``privileges`` are the privileges that the role needs for it.
    """

    rule: StatementRule
    text: str
    types: Mapping[str, ParameterType]
    privileges: tuple[Privilege, ...]
    statement: Statement | None = field(repr=False)
    places: tuple[Place | Value, ...] = field(repr=False)
    limits: Limits | None = field(repr=False)

    @property
    def shape(self) -> Shape | None:
        """The shape of the statement; None for the limits of a SELECT."""
        return self.statement.shape if self.statement else None

    @property
    def verb(self) -> Verb:
        """The SQL verb: `SELECT` if the command has limits instead of a statement."""
        return self.statement.verb if self.statement else "SELECT"

    @property
    def at_commit(self) -> bool:
        """Whether each run is held at its COMMIT. Reads and calls are held before they are sent."""
        return self.rule.held and self.verb in WRITING

    @property
    def has_secrets(self) -> bool:
        """Whether one of its values is secret, so that its rows and its plan can't be shown."""
        return any(isinstance(one, Place) and one.secret for one in self.places)

    @property
    def strictness(self) -> tuple[bool, int, bool, float, bool, int]:
        """The sort key: held first, then destructive before change before read, those with a budget before
        others, then fewer rows, then with secret values.
        """
        rows = self.rule.rows
        return (
            not self.rule.held,
            EFFECT_RANK[self.rule.effect],
            not self.rule.budget,
            float("inf") if rows is None else rows,
            not self.rule.secret,
            self.index,
        )


def shown(shape: Shape, places: Collection[Place | Value]) -> str:
    """Return a statement with `{name}` for each free value."""
    return render(shape, [_shown(one) for one in places])


def _shown(one: Place | Value) -> str:
    if isinstance(one, Value):
        return literal(one)
    if one.bound is not None:
        return literal(Value("number" if isinstance(one.type, Int) else "text", one.bound, cast=one.cast))
    return f"{{{one.name}}}::{one.cast}" if one.cast else f"{{{one.name}}}"
