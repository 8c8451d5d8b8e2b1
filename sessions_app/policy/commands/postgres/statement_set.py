"""Compiled command sets of statements, with which the gateway decides, and whose privileges the connector
grants.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace

from sessions_app.policy.commands.answers import CommandView, free_parameter
from sessions_app.policy.commands.binding import bind, check_kept
from sessions_app.policy.commands.budgets import say_budgets
from sessions_app.policy.commands.postgres import decide
from sessions_app.policy.commands.postgres.document import PostgresCommandSet
from sessions_app.policy.commands.postgres.privileges import Privilege
from sessions_app.policy.commands.postgres.selecting import readable
from sessions_app.policy.commands.postgres.sql.compiled import CompiledStatement
from sessions_app.policy.commands.postgres.sql.compiling import compile_rule
from sessions_app.policy.commands.postgres.sql.pieces import Shape
from sessions_app.policy.commands.postgres.sql.rules import SelectRule, StatementRule


@dataclass(frozen=True, slots=True)
class StatementSet(decide.CompiledSet):
    """The statements of one grant.

    ``schema`` applies to names without a schema; empty if each name must have a schema. ``by_shape`` and
    ``selects`` index its commands, strictest first.
    """

    commands: tuple[CompiledStatement, ...]  # type: ignore[assignment]  # statements instead of privileges
    left_out: tuple[CompiledStatement, ...]  # type: ignore[assignment]
    schema: str
    by_shape: Mapping[Shape, tuple[CompiledStatement, ...]] = field(repr=False)
    selects: tuple[CompiledStatement, ...] = field(repr=False)

    @property
    def statements(self) -> bool:
        return True

    @property
    def hides(self) -> bool:
        """Whether one of its commands has secret values. Then a refused statement may contain some, too."""
        return any(one.rule.secret for one in (*self.commands, *self.left_out))

    def privileges(self) -> tuple[Privilege, ...]:
        """Return every privilege that the grant's role needs for its statements, without duplicates."""
        found: dict[Privilege, None] = {}
        for command in self.commands:
            for one in command.privileges:
                if one.included:
                    found[one.included] = None
                found[one] = None
        return tuple(found)

    def template_roles(self) -> tuple[str, ...]:
        """Return no role, because statements need no template roles."""
        return ()


def compile_statements(
    document: PostgresCommandSet, bindings: Mapping[str, str], keep: Collection[int] | None = None
) -> StatementSet:
    """Return the statements with the grant's values in place. Raises CompileError."""
    check_kept(document, keep)
    return _compile(document, bind(document, bindings), keep)


def compile_open_statements(document: PostgresCommandSet) -> StatementSet:
    """Return the set with no values bound. Its parameters are free within their types."""
    return _compile(document, {}, None)


def _compile(
    document: PostgresCommandSet, bound: Mapping[str, str], keep: Collection[int] | None
) -> StatementSet:
    every = tuple(
        compile_rule(index, rule, {**document.parameters, **rule.where}, bound, document.schema_name)
        for index, rule in enumerate(document.commands)
        if isinstance(rule, StatementRule)
    )
    kept = tuple(one for one in every if keep is None or one.index in keep)
    return StatementSet(
        kind="postgres",
        name=document.name,
        bindings=dict(bound),
        commands=kept,
        left_out=tuple(one for one in every if one not in kept),
        schema=document.schema_name,
        by_shape=_by_shape(kept),
        selects=tuple(one for one in _strictest_first(kept) if one.limits),
        budget=document.budget,
    )


def _strictest_first(commands: Collection[CompiledStatement]) -> list[CompiledStatement]:
    return sorted(commands, key=lambda one: one.strictness)


def _by_shape(commands: Collection[CompiledStatement]) -> dict[Shape, tuple[CompiledStatement, ...]]:
    found: dict[Shape, tuple[CompiledStatement, ...]] = {}
    for one in _strictest_first(commands):
        if one.shape is not None:
            found[one.shape] = (*found.get(one.shape, ()), one)
    return found


def describe_statements(compiled: StatementSet) -> list[CommandView]:
    """Return the commands of a grant in document order, with bound values and the values that are free."""
    return [_view(one, compiled) for one in compiled.commands]


def _view(one: CompiledStatement, compiled: StatementSet) -> CommandView:
    rule, bound = one.rule, compiled.bindings
    detail = [f"rolled back if it changes more than {rule.rows} rows"] if rule.rows is not None else []
    if one.at_commit:
        plan = " and its plan" if rule.explained else ""
        detail.append(f"each {one.verb} waits at COMMIT for a second person, who sees its rows{plan}")
    if rule.secret:
        detail.append(f"{', '.join(rule.secret)}: recorded only as a digest")
    return CommandView(
        index=one.index,
        text=one.text,
        free=tuple(
            replace(free_parameter(name, one.types[name]), secret=name in rule.secret)
            for name in rule.names
            if name not in bound
        ),
        effect=rule.effect,
        hold=rule.held,
        finish_seconds=rule.finish_seconds,
        detail=(*detail, *say_budgets(rule.budget)),
        readable=readable(rule.select, compiled.schema) if isinstance(rule, SelectRule) else None,
    )
