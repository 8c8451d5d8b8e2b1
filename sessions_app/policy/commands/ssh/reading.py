"""Classify the words of a command line as a known program reads them: as options, verbs or dangerous words.

A free value can be any word that its type allows, so it is compared with everything that the program accepts
in that position.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from itertools import islice

from sessions_app.policy.commands.document import EFFECT_RANK
from sessions_app.policy.commands.parameters import Duration, Int
from sessions_app.policy.commands.ssh.table import REST, Option, Shape
from sessions_app.policy.commands.ssh.words import Spoken, WordParameter

_COUNT = re.compile(r"[0-9][0-9A-Fa-fx.,:-]*[smhd]?")
_DASHED = re.compile(r"-[^0-9]")


def dangers_of(shapes: Sequence[Shape], word: Spoken, *, abbreviates: bool) -> Iterator[tuple[str, str]]:
    """Yield each danger that a word has, or could have, with the word for display.

    For each possible text of the word, the first match counts.
    """
    globs = [pair for shape in shapes for pair in shape.globs]
    if not word.is_literal:
        globs += [pair for shape in shapes for pair in shape.loose]
    if word.texts is None:
        found: dict[str, str] = {}
        for glob, code in globs:
            if code not in found and word.may_fit(glob, begins=abbreviates):
                found[code] = f"{word.text} as {glob}"
        yield from found.items()
    for text in word.texts or ():
        fits = (code for glob, code in globs if _fits(text, glob, abbreviates=abbreviates))
        yield from ((code, text) for code in islice(fits, 1))


def _fits(text: str, glob: str, *, abbreviates: bool) -> bool:
    return fnmatchcase(text, glob) or (abbreviates and Spoken((text,), text).may_fit(glob, begins=True))


def verbs_of(shape: Shape, word: Spoken, *, abbreviates: bool) -> Iterator[tuple[str, Shape | None]]:
    """Yield each verb that a word is, or could be, with its shape; None if it is unknown."""
    anything = shape.by_verb.get("*")
    if word.texts is None:
        yield from ((verb, inner) for verb, inner in shape.by_verb.items() if word.may_be(verb))
        yield word.text, anything
    for text in word.texts or ():
        if text in shape.by_verb or not abbreviates:
            yield text, shape.by_verb.get(text, anything)
            continue
        begun = [verb for verb in shape.by_verb if verb.startswith(text)] or [text]
        yield from ((verb, shape.by_verb.get(verb, anything)) for verb in begun)


def is_count(word: Spoken) -> bool:
    """Whether a word can only be a number, a time or a mask: `5`, `1m`, `0x3`, `0-3`."""
    if word.texts is None:
        return all(
            not isinstance(piece, WordParameter) or isinstance(piece.type_, Int | Duration)
            for piece in word.pieces
        )
    return all(_COUNT.fullmatch(text) for text in word.texts)


def is_one_of(name: str, globs: Sequence[str]) -> bool:
    """Whether a name fits one of the globs."""
    return any(fnmatchcase(name, glob) for glob in globs)


def value_behind(option: Option, words: Sequence[Spoken]) -> Spoken | None:
    """Return the value of an option that takes one. A word that looks like an option is never read as a
    value.
    """
    if not option.takes or len(words) < 2:
        return None
    value = words[1]
    return None if _DASHED.match(value.head) else value


def find_option(shapes: Sequence[Shape], name: str) -> Option | None:
    """Return an option by its name, from the innermost shape that has it."""
    return next((shape.known[name] for shape in shapes if name in shape.known), None)


def abbreviated_option(shapes: Sequence[Shape], name: str) -> Option | None:
    """Return the option that an abbreviation means to GNU programs.

    Among several candidates, return the most dangerous one.
    """
    if not name.startswith("--") or len(name) < 3:
        return None
    found = [option for shape in shapes for option in shape.known.values() if option.name.startswith(name)]
    return min(found, key=lambda option: (option.danger is None, EFFECT_RANK[option.effect]), default=None)


def kinds_of(kinds: Sequence[str], count: int) -> list[str]:
    """Return the kind of each of ``count`` operands."""
    if REST not in kinds:
        return [kinds[min(index, len(kinds) - 1)] for index in range(count)]
    at = kinds.index(REST)
    first, last = list(kinds[:at]), list(kinds[at + 1 :])
    middle = max(0, count - len(first) - len(last))
    return (first + [first[-1]] * middle + last)[-count:] if count else []
