"""Match the words of a command with those of a template, and describe both."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from sessions_app.policy.commands.answers import Refused
from sessions_app.policy.commands.argv.quoting import quote, readable
from sessions_app.policy.commands.argv.templates import Slot, Word
from sessions_app.policy.commands.characters import clip
from sessions_app.policy.commands.parameters import ParameterType, ValueRefused

NOT_LISTED = Refused("this command is not in the grant: choose a listed one", None, "left_out")


def match_word(spec: Word, word: str, types: Mapping[str, ParameterType], matched: dict[str, str]) -> None:
    """Add the parameter values in `word` to `matched`. Raises ValueRefused, with the parameter's
    name in the message.
    """
    at = 0
    for position, piece in enumerate(spec):
        if isinstance(piece, str):
            if not word.startswith(piece, at) or (position == len(spec) - 1 and at + len(piece) != len(word)):
                raise ValueRefused(f"expected {clip(_spec_text(spec))} instead of {clip(word)}")
            at += len(piece)
            continue
        end = _value_end(spec, position, word, at)
        _take(piece, word[at:end], types[piece.name], matched)
        at = end


def _value_end(spec: Word, position: int, word: str, at: int) -> int:
    after = spec[position + 1] if position + 1 < len(spec) else ""
    if not isinstance(after, str) or not after:
        return len(word)
    if position + 2 == len(spec):
        return max(at, len(word) - len(after))  # the last value can contain the text after its slot
    found = word.find(after, at)
    return len(word) if found < 0 else found


def _take(slot: Slot, value: str, type_: ParameterType, matched: dict[str, str]) -> None:
    name = slot.name
    try:
        type_.accept(value)
    except ValueRefused as error:
        said = error.of(name)
        said = said if clip(value) in said else f"{said}; {clip(value)} is not allowed"
        raise ValueRefused(said, name) from None
    if slot.stop and slot.stop in value:
        raise ValueRefused(
            f"{name} must not contain {clip(slot.stop)} here, because the next value follows it", name
        )
    if matched.setdefault(name, value) != value:
        raise ValueRefused(
            f"{name} must be the same each time: {clip(matched[name])} and {clip(value)} differ", name
        )


def _spec_text(spec: Word) -> str:
    return "".join(piece if isinstance(piece, str) else f"{{{piece.name}}}" for piece in spec)


def text_of(words: Iterable[Word]) -> str:
    """Return the words for display, with `{name}` for each free value."""
    return " ".join("".join(map(_piece_text, word)) for word in words)


def _piece_text(piece: str | Slot) -> str:
    return f"{{{piece.name}}}" if isinstance(piece, Slot) else readable([piece]) if piece else quote(piece)


def values_fault(names: set[str], values: Mapping[str, str], text: str) -> Refused | None:
    """Return a refusal for a missing or unknown value in a form; None if all values match. ``text`` is the
    command.
    """
    for name in sorted(names.symmetric_difference(values)):
        fault = "is required" if name in names else "is not a value of this command: remove it"
        return Refused(f"{name} {fault}", text, "value", name)
    return None
