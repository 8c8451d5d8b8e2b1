"""Commands with placeholders for values: `journalctl -u {unit} -n {lines}`.

Before the strict parser reads the text, each `{name}` is replaced by a character that no command can contain.
So a value is always inside one word and never changes how words are split. `{name}` is a parameter inside
quotes as well. A literal `{word}` is written `'{'word'}'`.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise

from sessions_app.policy.commands.argv.lines import LineRefused, check_argv, split_words
from sessions_app.policy.commands.characters import hidden_at, show

_SLOT = re.compile(r"(?<!\\)\{([a-z][a-z0-9_]{0,62})\}")
_MARK = 0xF0000  # a private-use plane: these characters are refused in commands
_PAD = "\U0010fffd"


@dataclass(frozen=True, slots=True)
class Slot:
    """A placeholder for a parameter's value. The value must not contain `stop`, the text before the next slot
    of the same word.
    """

    name: str
    stop: str = ""


Word = tuple[str | Slot, ...]


@dataclass(frozen=True, slots=True)
class Template:
    """The words of a command. Each word alternates literal text and slots; an empty word is `("",)`."""

    words: tuple[Word, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """The template's parameters without duplicates, in order of first use."""
        return tuple(
            dict.fromkeys(piece.name for word in self.words for piece in word if isinstance(piece, Slot))
        )


def parse_template(text: str) -> Template:
    """Parse a command with slots.

    Raises LineRefused as `parse_line` does, and also for a slot in the program's name or two adjacent slots.
    """
    at = hidden_at(text)
    if at is not None:
        raise LineRefused(f"{show(text[at])} is not printable: remove it", at, text[at])
    names: list[str] = []

    def mark(found: re.Match[str]) -> str:
        names.append(found[1])
        # The padding keeps the positions of the original text.
        return chr(_MARK + len(names) - 1) + _PAD * (len(found[0]) - 1)

    words = [(word.replace(_PAD, ""), start) for word, start in split_words(_SLOT.sub(mark, text))]
    template = Template(tuple(_stopped(tuple(_pieces(word, names))) for word, _ in words))
    for index, (word, (_, start)) in enumerate(zip(template.words, words, strict=True)):
        _check_word(word, start, program=index == 0)
    check_argv(tuple("".join(map(_stand_in, word)) for word in template.words))
    return template


def parse_word(text: str) -> Word:
    """Parse text with slots as one word: everything but a slot is literal.

    Raises LineRefused for an invisible character, and for two adjacent slots.
    """
    at = hidden_at(text)
    if at is not None:
        raise LineRefused(f"{show(text[at])} is not printable: remove it", at, text[at])
    parts = _SLOT.split(text)
    # Parts at odd indices are slot names; the others are literal text.
    pieces = tuple(Slot(part) if at % 2 else part for at, part in enumerate(parts) if part)
    word = _stopped(pieces) or ("",)
    _check_word(word, 0, program=False)
    return word


def _pieces(word: str, names: list[str]) -> Iterator[str | Slot]:
    if not word:
        yield ""
    for part in re.split("([\U000f0000-\U000ffffd])", word):
        if part and ord(part[0]) >= _MARK:
            yield Slot(names[ord(part[0]) - _MARK])
        elif part:
            yield part


def _stopped(word: Word) -> Word:
    """Return the word with `stop` set in each slot that is followed by another slot."""
    stopped: list[str | Slot] = []
    for at, piece in enumerate(word):
        after = word[at + 1] if at + 2 < len(word) else ""
        stopped.append(
            Slot(piece.name, after) if isinstance(piece, Slot) and isinstance(after, str) else piece
        )
    return tuple(stopped)


def _check_word(word: Word, start: int, *, program: bool) -> None:
    slots = [isinstance(piece, Slot) for piece in word]
    if program and any(slots):
        raise LineRefused("the program must be written out: it can't be a parameter", start)
    if any(here and after for here, after in pairwise(slots)):
        raise LineRefused("two parameters need text between them, or their values can't be separated", start)


def _stand_in(piece: str | Slot) -> str:
    return piece if isinstance(piece, str) else "x"


def fill(word: Word, values: Mapping[str, str]) -> Word:
    """Return the word with the known values inserted and adjacent literal text joined."""
    filled: list[str | Slot] = []
    for piece in word:
        text = values.get(piece.name, piece) if isinstance(piece, Slot) else piece
        if isinstance(text, str) and filled and isinstance(filled[-1], str):
            filled[-1] += text
        else:
            filled.append(text)
    return tuple(filled)
