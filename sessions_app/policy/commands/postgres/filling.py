"""Fill a form's values into the statements of a grant, or compose a SELECT from them, and decide the result
like a typed statement.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Mapping
from dataclasses import replace

from sessions_app.policy.commands.answers import Allowed, Refused
from sessions_app.policy.commands.argv.matching import NOT_LISTED, values_fault
from sessions_app.policy.commands.argv.quoting import QuoteRefused
from sessions_app.policy.commands.parameters import Int, ParameterType, ValueRefused
from sessions_app.policy.commands.postgres.hiding import Hiding, without_values
from sessions_app.policy.commands.postgres.selecting import FieldRefused, compose
from sessions_app.policy.commands.postgres.sql.compiled import CompiledStatement, Place
from sessions_app.policy.commands.postgres.sql.pieces import Value, literal, render
from sessions_app.policy.commands.postgres.sql.rules import SelectLimits, SelectRule
from sessions_app.policy.commands.postgres.statement_set import StatementSet
from sessions_app.policy.commands.postgres.statements import decide_line

_NUMBER = re.compile(r"-?[0-9]{1,19}")


def fillable(compiled: StatementSet) -> frozenset[int]:
    """Return the indices of the commands that a form can fill: all of them."""
    return frozenset(one.index for one in compiled.commands)


def lines_for(compiled: StatementSet, index: int, values: Mapping[str, str]) -> Allowed | Refused:
    """Fill the command `index` with a form's values, and decide it like a typed statement. No refusal quotes
    a secret value.

    Refuses an unknown index, a missing or unknown value, and a value outside its type.
    """
    command = _find(compiled, index)
    if command is None:
        return NOT_LISTED
    if isinstance(command.rule, SelectRule):
        return _selected(compiled, command, command.rule.select, values)
    if refused := values_fault(_free(command), values, command.text):
        return refused
    normal: dict[str, str] = {}
    for name, value in values.items():
        try:
            normal[name] = command.types[name].normalize(value)
        except ValueRefused as error:
            secret = name in command.rule.secret
            why = f"{name} needs {command.types[name].wanted}" if secret else error.of(name)
            return Refused(why, command.text, "value", name)
    decision = decide_line(compiled, _filled(command, normal))
    return without_values(decision) if isinstance(decision, Refused) and compiled.hides else decision


def _selected(
    compiled: StatementSet, command: CompiledStatement, select: SelectLimits, values: Mapping[str, str]
) -> Allowed | Refused:
    try:
        line = compose(select, compiled.schema, values)
    except FieldRefused as error:
        return Refused(error.reason, command.text, "value", error.field)
    decision = decide_line(compiled, line)
    return replace(decision, value="where.0.column") if isinstance(decision, Refused) else decision


def line_of(compiled: StatementSet, index: int, values: Mapping[str, str]) -> str | None:
    """Fill the command `index` with a form's values, and return the line as a person would type it, even if
    it is not allowed.

    Returns None if there is no such command, a value is missing, or the fields can't be composed. Raises
    QuoteRefused for a value that can't be quoted.
    """
    command = _find(compiled, index)
    if command is not None and isinstance(command.rule, SelectRule):
        with contextlib.suppress(FieldRefused):
            return compose(command.rule.select, compiled.schema, values)
        return None
    if command is None or _free(command) - set(values):
        return None
    if any(re.search("[\r\n\0]", value) for value in values.values()):
        raise QuoteRefused("a value contains a line break or a NUL character")
    types = command.types
    normal = {name: _normal(types[name], text) for name, text in values.items() if name in types}
    return _filled(command, normal)


def _normal(type_: ParameterType, text: str) -> str:
    """Return a value in canonical form, or unchanged if its type does not accept it."""
    try:
        return type_.normalize(text)
    except ValueRefused:
        return text


def hides(compiled: StatementSet) -> bool:
    """Whether some values are secret."""
    return compiled.hides


def recorded(compiled: StatementSet, line: str, digests: Callable[[bytes], bytes]) -> str:
    """Return a line in its recorded form. ``digests`` computes the digests of secret values."""
    return Hiding(compiled, digests).line(line)


def _find(compiled: StatementSet, index: int) -> CompiledStatement | None:
    return next((one for one in compiled.commands if one.index == index), None)


def _free(command: CompiledStatement) -> set[str]:
    return {place.name for place in command.places if isinstance(place, Place) and place.bound is None}


def _filled(command: CompiledStatement, values: Mapping[str, str]) -> str:
    if command.shape is None:
        raise AssertionError("only statements can be filled")
    return render(command.shape, [_literal(place, values) for place in command.places])


def _literal(place: Place | Value, values: Mapping[str, str]) -> str:
    if isinstance(place, Value):
        return literal(place)
    text = values[place.name] if place.bound is None else place.bound
    number = isinstance(place.type, Int) and _NUMBER.fullmatch(text)
    return literal(Value("number" if number else "text", text, cast=place.cast))
