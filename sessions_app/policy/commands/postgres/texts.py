"""The texts of one decided statement: the SQL to send, and the line to record."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

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
    ``texts`` are the SQL to send, and ``slots`` how values are shown, by the index of the command that allows
    the statement.
    """

    statement: Statement
    before: str = ""
    declared: tuple[str, ...] = ()
    cursor: str = ""
    texts: dict[int, str] = field(default_factory=dict, repr=False)
    slots: dict[int, tuple[Slot, ...]] = field(default_factory=dict, repr=False)


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


class Slot(NamedTuple):
    """How a line shows one value of a statement. ``fixed`` is a constant of the rule; empty if there is none.

    ``integer``: a bound value that is an integer is shown without quotes.
    """

    fixed: str
    cast: str
    integer: bool
    secret: bool


def line_of(command: CompiledStatement, read: Read, values: tuple[Value, ...], *, hide: bool = True) -> str:
    """Return a statement with its values in place, as it is recorded. With ``hide``, secret values are left
    out.
    """
    slots = read.slots.get(command.index)
    if slots is None:
        slots = read.slots[command.index] = _slots(command, read)
    pairs = zip(slots, values, strict=True)
    return read.before + render(
        read.statement.shape, [slot.fixed or _shown(slot, value, hide) for slot, value in pairs]
    )


def _slots(command: CompiledStatement, read: Read) -> tuple[Slot, ...]:
    values = read.statement.values
    return tuple(
        Slot(literal(place), "", integer=False, secret=False)
        if command.places and isinstance(place, Value)
        else _slot(place, value, read, number)
        for number, (place, value) in enumerate(zip(command.places or values, values, strict=True))
    )


def _slot(place: Place | Value, value: Value, read: Read, number: int) -> Slot:
    shown = _with_cast(value, place)
    is_int = isinstance(place, Place) and isinstance(place.type, Int)
    integer = is_int or number == read.statement.limit or shown.cast in _INTEGERS
    secret = isinstance(place, Place) and place.secret
    return Slot("", shown.cast, integer or declared(value, read) in _INTEGERS, secret)


def _shown(slot: Slot, value: Value, hide: bool) -> str:
    if hide and slot.secret:
        return f"{PLACE}::{slot.cast}" if slot.cast else PLACE
    kind = value.kind
    if kind == "bound":
        kind = "number" if slot.integer and keeps("bigint", value.text) else "text"
    return literal(Value(kind, value.text, 0, slot.cast))
