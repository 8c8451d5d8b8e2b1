"""The sudoers lines for a command that runs as root: they allow exactly its words.

sudo joins the words of a command with spaces before it compares them, so no word may contain a space. Each
choice becomes one line, which every sudo version supports. Numbers and patterns become a regular expression,
which requires sudo 1.9.10.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product

from sessions_app.policy.commands.argv.templates import Slot, Word, fill
from sessions_app.policy.commands.parameters import Choice, Int, ParameterType, Pattern
from sessions_app.policy.samples import sample_of

MOST_LINES, LONGEST_EXPRESSION = 20, 1000
_PLAIN = re.compile(r"[A-Za-z0-9_./@%+~:=,-]+")
# The part of RE2 that means the same as a POSIX extended regular expression.
_ITEM = r"(?:[A-Za-z0-9_/@%~-]|\[[A-Za-z0-9_./@%+~-]+\])"
_COUNT = r"(?:[*+?]|\{[0-9]{1,3}(?:,[0-9]{1,3})?\})?"
_SIMPLE = re.compile(rf"(?:{_ITEM}{_COUNT})+")


class SudoCannotSay(ValueError):
    """A command that sudoers can't express exactly. The message is a clause with the reason."""


@dataclass(frozen=True, slots=True)
class RootLine:
    """One line of sudoers: its arguments in sudoers syntax, and sample words that it allows."""

    arguments: str
    sample: tuple[str, ...]

    @property
    def is_expression(self) -> bool:
        """Whether it needs sudo 1.9.10."""
        return self.arguments.startswith("^")


def root_lines(words: Sequence[Word], types: Mapping[str, ParameterType]) -> list[RootLine]:
    """Return the lines that allow exactly what the words do. Raises SudoCannotSay."""
    names = [piece.name for word in words for piece in word if isinstance(piece, Slot)]
    choices = {
        name: type_.choices for name, type_ in types.items() if name in names and isinstance(type_, Choice)
    }
    ways = 1
    for values in choices.values():
        ways *= len(values)
    if len(choices) < len(set(names)) or ways > MOST_LINES:
        return [_expression(words, types, names)]
    return [_literal(words, dict(zip(choices, values, strict=True))) for values in product(*choices.values())]


def _literal(words: Sequence[Word], values: Mapping[str, str]) -> RootLine:
    texts = tuple("".join(map(str, fill(word, values))) for word in words)
    return RootLine(" ".join(map(_escaped, texts)), texts)


def _expression(words: Sequence[Word], types: Mapping[str, ParameterType], names: Sequence[str]) -> RootLine:
    for name in names:
        if names.count(name) > 1:
            raise SudoCannotSay(f"uses {{{name}}} twice, and sudoers can't require equal values")
    said = " ".join("".join(_part(piece, types) for piece in word) for word in words)
    if len(said) > LONGEST_EXPRESSION:
        raise SudoCannotSay(
            f"needs an expression of {len(said)} characters, more than the {LONGEST_EXPRESSION} that "
            "sudoers supports"
        )
    samples = {name: _sample(types[name]) for name in names}
    return RootLine(f"^{said}$", _literal(words, samples).sample)


def _part(piece: str | Slot, types: Mapping[str, ParameterType]) -> str:
    if isinstance(piece, str):
        return _exactly(piece)
    type_ = types[piece.name]
    if isinstance(type_, Choice):
        return f"({'|'.join(map(_exactly, type_.choices))})"
    if isinstance(type_, Int):
        return f"({'|'.join(_numbers(*type_.bounds))})"
    if isinstance(type_, Pattern) and _SIMPLE.fullmatch(type_.pattern):
        return f"({_in_sudoers(type_.pattern)})"
    raise SudoCannotSay(
        f"leaves {{{piece.name}}} open ({type_.limits}), and sudoers supports only choices, numbers and "
        "simple patterns"
    )


def _sample(type_: ParameterType) -> str:
    found = (
        type_.choices[0]
        if isinstance(type_, Choice)
        else str(type_.bounds[0])
        if isinstance(type_, Int)
        else None
    )
    return found if found is not None else (isinstance(type_, Pattern) and sample_of(type_.pattern)) or ""


def _exactly(text: str) -> str:
    """Return text as part of an expression."""
    return re.sub(r"[.+]", r"[\g<0>]", _escaped(text))


def _escaped(text: str) -> str:
    for character in text or " ":
        if not _PLAIN.fullmatch(character):
            raise SudoCannotSay(
                f"contains `{character}`, which sudoers can't express exactly"
                if text
                else "has an empty word"
            )
    return _in_sudoers(text)


def _in_sudoers(text: str) -> str:
    """Escape the characters that end an argument in sudoers."""
    return re.sub(r"[:=,]", r"\\\g<0>", text)


def _numbers(low: int, high: int) -> Iterator[str]:
    """Yield expressions that together match the numbers from low to high, in decimal."""
    if low < 0:
        yield from (f"-{one}" for one in _numbers(max(1, -high), -low))
        low = 0
    while low <= high:
        # The longest range of numbers that share a prefix, followed by any digits.
        size = 1
        while low and low % (size * 10) == 0 and low + size * 10 - 1 <= high:
            size *= 10
        top = min((high + 1) // size - 1, low // size - low // size % 10 + 9)
        head, first, last = str(low // size)[:-1], low // size % 10, top % 10
        yield _in_sudoers(
            f"{head}{first if first == last else f'[{first}-{last}]'}" + _any_digits(len(str(size)) - 1)
        )
        low = (top + 1) * size


def _any_digits(count: int) -> str:
    return "" if not count else "[0-9]" if count == 1 else f"[0-9]{{{count}}}"
