"""Fill a form's values into the statements of a grant, and decide the result like a typed statement."""

from __future__ import annotations

import re
from collections.abc import Mapping

from sessions_app.policy.commands.answers import Allowed, Refused
from sessions_app.policy.commands.argv.matching import NOT_LISTED, values_fault
from sessions_app.policy.commands.argv.quoting import QuoteRefused
from sessions_app.policy.commands.parameters import Int, ValueRefused
from sessions_app.policy.commands.postgres.sql.compiled import CompiledStatement, Place
from sessions_app.policy.commands.postgres.sql.pieces import Value, literal, render
from sessions_app.policy.commands.postgres.statement_set import StatementSet
from sessions_app.policy.commands.postgres.statements import decide_line

_NUMBER = re.compile(r"-?[0-9]{1,19}")


def fillable(compiled: StatementSet) -> frozenset[int]:
    """Return the indices of the commands that a form can fill: statements without secret values, because the
    filled line is stored until it runs.
    """
    return frozenset(one.index for one in compiled.commands if one.statement and not one.rule.secret)


def lines_for(compiled: StatementSet, index: int, values: Mapping[str, str]) -> Allowed | Refused:
    """Fill the command `index` with a form's values, and decide it like a typed statement.

    Refuses an unknown index, a missing or unknown value, and a value outside its type.
    """
    command = _find(compiled, index)
    if command is None:
        return NOT_LISTED
    if refused := values_fault(_free(command), values, command.text):
        return refused
    normal: dict[str, str] = {}
    for name, value in values.items():
        try:
            normal[name] = command.types[name].normalize(value)
        except ValueRefused as error:
            return Refused(f"{name}: {error}", command.text, "value", name)
    return decide_line(compiled, _filled(command, normal))


def line_of(compiled: StatementSet, index: int, values: Mapping[str, str]) -> str | None:
    """Fill the command `index` with a form's values, and return the line as a person would type it, even if
    it is not allowed.

    Returns None if there is no such command or a value is missing. Raises QuoteRefused for a value that can't
    be quoted.
    """
    command = _find(compiled, index)
    if command is None or _free(command) - set(values):
        return None
    if any(re.search("[\r\n\0]", value) for value in values.values()):
        raise QuoteRefused("a value contains a line break or a NUL character")
    return _filled(command, values)


def _find(compiled: StatementSet, index: int) -> CompiledStatement | None:
    listed = fillable(compiled)
    return next((one for one in compiled.commands if one.index == index and index in listed), None)


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
