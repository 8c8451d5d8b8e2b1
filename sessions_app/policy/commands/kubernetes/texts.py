"""Names and namespaces with places for values: `web-{env}`. A value fills part of a name and never changes what it names."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise

from sessions_app.policy.commands.characters import clip
from sessions_app.policy.commands.document import RuleRefused
from sessions_app.policy.commands.parameters import Choice, Int, ParameterType, ValueRefused

# A free value with no more numbers than these is written out as so many names.
MAX_FINITE = 50
_SLOT = re.compile(r"\{([a-z][a-z0-9_]{0,62})\}")
_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_NAME = re.compile(r"[a-z0-9]([-a-z0-9.:_]{0,251}[a-z0-9])?")


@dataclass(frozen=True, slots=True)
class Slot:
    """Where the value of one parameter stands."""

    name: str


Text = tuple[str | Slot, ...]


def is_namespace(text: str) -> bool:
    """Whether it can be a namespace's name (RFC 1123 label)."""
    return _LABEL.fullmatch(text) is not None


def is_name(text: str) -> bool:
    """Whether it can be an object's name: a DNS name, with the `:` and `_` that names of roles have."""
    return _NAME.fullmatch(text) is not None


def parse_slots(word: str) -> Text:
    """The pieces of a word. Raises RuleRefused for two places with nothing between, or more than two."""
    pieces = [
        Slot(part) if odd else part
        for position, part in enumerate(_SLOT.split(word))
        for odd in (position % 2,)
        if part
    ]
    slots = [isinstance(piece, Slot) for piece in pieces]
    if sum(slots) > 2 or any(one and other for one, other in pairwise(slots)):
        raise RuleRefused(f"{clip(word)} needs text between its parameters, and at most two of them")
    return tuple(pieces)


def namespace_text(word: str) -> Text:
    """A namespace as a document names it. Raises RuleRefused."""
    text = parse_slots(word)
    if not is_namespace("".join(map(_stand_in, text))):
        raise RuleRefused(f"{clip(word)} is no name of a namespace: lower case letters, digits and “-”")
    return text


def name_text(word: str) -> Text:
    """An object's name as a document names it. Raises RuleRefused."""
    text = parse_slots(word)
    if not is_name("".join(map(_stand_in, text))):
        raise RuleRefused(f"{clip(word)} is no name of an object: lower case letters, digits, “-”, “.”")
    return text


def _stand_in(piece: str | Slot) -> str:
    return piece if isinstance(piece, str) else "x"


def written(text: Text) -> str:
    """The text as a document has it."""
    return "".join(piece if isinstance(piece, str) else f"{{{piece.name}}}" for piece in text)


def slots_of(text: Text) -> Iterator[str]:
    """The parameters that it uses."""
    return (piece.name for piece in text if isinstance(piece, Slot))


def fill(text: Text, values: Mapping[str, str]) -> Text:
    """The text with the known values in place, and literal text joined up again."""
    filled: list[str | Slot] = []
    for piece in text:
        part = values.get(piece.name, piece) if isinstance(piece, Slot) else piece
        if isinstance(part, str) and filled and isinstance(filled[-1], str):
            filled[-1] += part
        else:
            filled.append(part)
    return tuple(filled)


def literal(text: Text) -> str | None:
    """The text if nothing in it is open."""
    return text[0] if len(text) == 1 and isinstance(text[0], str) else None


def match(
    text: Text, value: str, types: Mapping[str, ParameterType], known: Mapping[str, str]
) -> Mapping[str, str] | None:
    """The values that make `value` of the text, with those that are known already; None if none do."""
    if not text:
        return None if value else known
    head, rest = text[0], text[1:]
    if isinstance(head, str):
        return match(rest, value[len(head) :], types, known) if value.startswith(head) else None
    for end in range(len(value), 0, -1):
        given = value[:end]
        if known.get(head.name, given) == given and accepts(types[head.name], given):
            found = match(rest, value[end:], types, {**known, head.name: given})
            if found is not None:
                return found
    return None


def accepts(type_: ParameterType, value: str) -> bool:
    """Whether a value is inside a type, in its one spelling."""
    try:
        type_.accept(value)
    except ValueRefused:
        return False
    return True


def all_values(type_: ParameterType) -> tuple[str, ...] | None:
    """Every value of a type, where they are few enough to be written out as names."""
    if isinstance(type_, Choice):
        return type_.choices if len(type_.choices) <= MAX_FINITE else None
    if isinstance(type_, Int) and type_.bounds[1] - type_.bounds[0] < MAX_FINITE:
        return tuple(map(str, range(type_.bounds[0], type_.bounds[1] + 1)))
    return None
