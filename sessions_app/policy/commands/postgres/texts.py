"""The texts of one decided statement: the SQL to send, and the line to record."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from sessions_app.policy.commands.parameters import Int
from sessions_app.policy.commands.postgres.sql.compiled import CompiledStatement, Place
from sessions_app.policy.commands.postgres.sql.pieces import Value, literal, render
from sessions_app.policy.commands.postgres.sql.reading import Statement
from sessions_app.policy.commands.postgres.sql.types import keeps

_INTEGERS = ("smallint", "integer", "bigint")
# In place of a secret value. No statement that is allowed contains this character.
PLACE = "\0"


@dataclass(frozen=True, slots=True)
class Read:
    """One statement of a client. ``before`` opens ``cursor``. ``declared`` are its parameters' types.
    ``texts`` are the SQL to send, by the index of the command that allows it.
    """

    statement: Statement
    before: str = ""
    declared: tuple[str, ...] = ()
    cursor: str = ""
    texts: dict[int, str] = field(default_factory=dict, repr=False)


def declared(value: Value, read: Read) -> str:
    return read.declared[value.number - 1] if 0 < value.number <= len(read.declared) else ""


def sent(command: CompiledStatement, read: Read) -> str:
    """Return the SQL to send: parameters stay parameters, and casts of the rule are added."""
    text = read.texts.get(command.index)
    if text is None:
        values = read.statement.values
        texts = [
            literal(place if isinstance(place, Value) and value.kind != "bound" else _with_cast(value, place))
            for place, value in zip(command.places or values, values, strict=True)
        ]
        text = read.texts[command.index] = read.before + render(read.statement.shape, texts)
    return text


def exact(command: CompiledStatement, read: Read, values: tuple[Value, ...]) -> Iterator[str]:
    """Yield each value as a constant that means the same as the value that is sent."""
    for place, value in zip(command.places, values, strict=True):
        shown = place if isinstance(place, Value) and value.kind != "bound" else _with_cast(value, place)
        if value.kind == "bound":
            shown = shown._replace(kind="text", cast=shown.cast or declared(value, read))
        yield literal(shown)


def _with_cast(value: Value, place: Place | Value) -> Value:
    return value if value.cast or not place.cast else value._replace(cast=place.cast)


def recorded(
    command: CompiledStatement, read: Read, values: tuple[Value, ...], *, hide: bool = True
) -> Iterator[str]:
    """Yield each value as the line shows it. With ``hide``, secret values are left out."""
    for number, value in enumerate(values):
        place = command.places[number] if command.places else value
        if isinstance(place, Value) and command.places:
            yield literal(place)
            continue
        shown = _with_cast(value, place)
        if hide and isinstance(place, Place) and place.secret:
            yield f"{PLACE}::{shown.cast}" if shown.cast else PLACE
        elif shown.kind == "bound":
            is_number = _is_number(shown, place, read, number)
            yield literal(Value("number" if is_number else "text", shown.text, 0, shown.cast))
        else:
            yield literal(shown)


def _is_number(value: Value, place: Place | Value, read: Read, number: int) -> bool:
    is_int = isinstance(place, Place) and isinstance(place.type, Int)
    numeric = is_int or number == read.statement.limit or value.cast in _INTEGERS
    return (numeric or declared(value, read) in _INTEGERS) and keeps("bigint", value.text)
