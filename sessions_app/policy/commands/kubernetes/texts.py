"""Names and namespaces with placeholders for values: `web-{env}`.

A value fills part of a name, and never changes the kind of object.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise

from sessions_app.policy.commands.characters import clip
from sessions_app.policy.commands.document import RuleRefused
from sessions_app.policy.commands.parameters import Choice, Int, ParameterType, ValueRefused

# The maximum number of a parameter's values that are expanded into names.
MAX_FINITE = 50
MAX_SPLIT = 512
_SLOT = re.compile(r"\{([a-z][a-z0-9_]{0,62})\}")
_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_NAME = re.compile(r"[a-z0-9]([-a-z0-9.:_]{0,251}[a-z0-9])?")
_PLAIN = re.compile(r"[A-Za-z0-9_./:=,@+-]+")


@dataclass(frozen=True, slots=True)
class Slot:
    """A placeholder for a parameter's value."""

    name: str


Text = tuple[str | Slot, ...]


def is_namespace(text: str) -> bool:
    """Whether the text is a valid namespace name (RFC 1123 label)."""
    return _LABEL.fullmatch(text) is not None


def is_name(text: str) -> bool:
    """Whether the text is a valid object name: a DNS name, plus the `:` and `_` that role names can
    contain.
    """
    return _NAME.fullmatch(text) is not None


def is_plain(text: str) -> bool:
    """Whether the text can be a word of a line without quotes."""
    return _PLAIN.fullmatch(text) is not None


def parse_slots(word: str) -> Text:
    """Split a word into literal text and slots. Raises RuleRefused for adjacent slots and for more
    than two.
    """
    pieces = [
        Slot(part) if odd else part
        for position, part in enumerate(_SLOT.split(word))
        for odd in (position % 2,)
        if part
    ]
    slots = [isinstance(piece, Slot) for piece in pieces]
    if sum(slots) > 2 or any(one and other for one, other in pairwise(slots)):
        raise RuleRefused(f"{clip(word)} needs text between its parameters, and at most two parameters")
    return tuple(pieces)


def namespace_text(word: str) -> Text:
    """Parse a namespace from a document. Raises RuleRefused."""
    text = parse_slots(word)
    if not is_namespace("".join(map(_stand_in, text))):
        raise RuleRefused(f"{clip(word)} can't be a namespace: use lowercase letters, digits and “-”")
    return text


def name_text(word: str) -> Text:
    """Parse an object's name from a document. Raises RuleRefused."""
    text = parse_slots(word)
    if not is_name("".join(map(_stand_in, text))):
        raise RuleRefused(f"{clip(word)} can't be an object name: use lowercase letters, digits, “-” and “.”")
    return text


def _stand_in(piece: str | Slot) -> str:
    return piece if isinstance(piece, str) else "x"


def written(text: Text) -> str:
    """Return the text as written in a document."""
    return "".join(piece if isinstance(piece, str) else f"{{{piece.name}}}" for piece in text)


def slots_of(text: Text) -> Iterator[str]:
    """Return the parameters in the text."""
    return (piece.name for piece in text if isinstance(piece, Slot))


def fill(text: Text, values: Mapping[str, str]) -> Text:
    """Return the text with the known values inserted and adjacent literal text joined."""
    filled: list[str | Slot] = []
    for piece in text:
        part = values.get(piece.name, piece) if isinstance(piece, Slot) else piece
        if isinstance(part, str) and filled and isinstance(filled[-1], str):
            filled[-1] += part
        else:
            filled.append(part)
    return tuple(filled)


def literal(text: Text) -> str | None:
    """Return the text if all of its values are known; None otherwise."""
    return text[0] if len(text) == 1 and isinstance(text[0], str) else None


def match(
    text: Text, value: str, types: Mapping[str, ParameterType], known: Mapping[str, str]
) -> Mapping[str, str] | None:
    """Return the parameter values with which the text equals `value`, together with the known values; None if
    the text can't equal it.

    A value for two placeholders has at most MAX_SPLIT characters, because every split is tried.
    """
    if len(value) > MAX_SPLIT and sum(isinstance(piece, Slot) for piece in text) > 1:
        return None
    if not text:
        return None if value else known
    head, rest = text[0], text[1:]
    if isinstance(head, str):
        return match(rest, value[len(head) :], types, known) if value.startswith(head) else None
    for end in _ends(rest, value):
        given = value[:end]
        if known.get(head.name, given) == given and accepts(types[head.name], given):
            found = match(rest, value[end:], types, {**known, head.name: given})
            if found is not None:
                return found
    return None


def _ends(rest: Text, value: str) -> Iterator[int]:
    """Yield the positions where the value of a placeholder before `rest` can end, last first."""
    if not rest:
        yield len(value)
        return
    after = rest[0] if isinstance(rest[0], str) else ""
    if len(rest) == 1:
        yield len(value) - len(after)
        return
    end = value.rfind(after, 1)
    while end > 0:
        yield end
        end = value.rfind(after, 1, end + len(after) - 1)


def accepts(type_: ParameterType, value: str) -> bool:
    """Whether a type accepts a value in its canonical spelling."""
    try:
        type_.accept(value)
    except ValueRefused:
        return False
    return True


def all_values(type_: ParameterType) -> tuple[str, ...] | None:
    """Return every value of a type if the number is small enough to expand into names; None otherwise."""
    if isinstance(type_, Choice):
        return type_.choices if len(type_.choices) <= MAX_FINITE else None
    if isinstance(type_, Int) and type_.bounds[1] - type_.bounds[0] < MAX_FINITE:
        return tuple(map(str, range(type_.bounds[0], type_.bounds[1] + 1)))
    return None
