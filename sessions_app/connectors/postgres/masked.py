"""Statements as the record stores them: without passwords, but otherwise complete.

Only text that the server reads as a string under every setting is replaced, so no holder can hide the
effect of a statement. Source: PostgreSQL 18, chapter 4.1 (lexical structure) and src/backend/parser/scan.l.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple

MASK = "'…'"

_CHANGES = frozenset(("alter", "create"))
_HAVE_PASSWORDS = frozenset(("role", "user", "group", "subscription"))
_COULD_HAVE_ONE = re.compile(r"\b(?:alter|create)\b", re.IGNORECASE)

_SPACE = re.compile(r"[ \t\n\r\f\v]++|--[^\n\r]*+")
_COMMENT_EDGE = re.compile(r"/\*|\*/")
_WORD = re.compile(
    r"(?:[uU]&)?\"(?:[^\"]++|\"\")*+\"?|[A-Za-z_\x80-\U0010ffff][\w$\x80-\U0010ffff]*+", re.ASCII
)
_DOLLARS = re.compile(r"\$(?:[A-Za-z_\x80-\U0010ffff][\w\x80-\U0010ffff]*+)?\$", re.ASCII)
_PLAIN = re.compile(r"(?:[uU]&|[bBnNxX])?'(?:[^']++|'')*+'?")
_ESCAPED = re.compile(r"(?:[uU]&|[bBeEnNxX])?'(?:[^'\\]++|\\.?|'')*+'?", re.DOTALL)
# A string continues after a line break, with the escapes of its first part.
_CONTINUED = re.compile(r"(?:[ \t\f\v]++|--[^\n\r]*+)*+[\n\r](?:[ \t\n\r\f\v]++|--[^\n\r]*+[\n\r])*+(?=')")


class _Token(NamedTuple):
    """A part of a statement. The end of an ``unclear`` string depends on ``standard_conforming_strings``."""

    kind: Literal["space", "word", "string", "unclear", "other"]
    text: str


def masked(text: str) -> str:
    """Return SQL with ``'…'`` in place of each string that contains a password.

    Covers CREATE and ALTER ROLE, USER, GROUP, USER MAPPING and SUBSCRIPTION, even if incomplete or invalid.
    All other text is kept.
    """
    return "".join(_parts(text)) if _COULD_HAVE_ONE.search(text) else text


def _parts(text: str) -> Iterator[str]:
    before: list[str] = []
    at = 0
    for token in _tokens(text):
        at += len(token.text)
        secret = token.kind in ("string", "unclear") and _is_secret(before)
        yield MASK if secret else token.text
        if token.kind == "unclear":
            # The rest may or may not be a string, so it is kept.
            yield text[at:]
            return
        if token.text == ";":
            before = []
        elif token.kind != "space":
            before.append(token.text.lower() if token.kind == "word" else token.text)


def _is_secret(before: Sequence[str]) -> bool:
    """Whether a string contains a password, judging by the words before it in its statement."""
    if len(before) < 2 or before[0] not in _CHANGES or before[1] not in _HAVE_PASSWORDS:
        return False
    if before[1] == "subscription" or before[2:4] == ["mapping", "for"]:
        return True
    sets = before[3:4] == ["set"] or before[3:5] == ["in", "database"]
    return not sets and before[-1] != "until"


def _tokens(text: str) -> Iterator[_Token]:
    """Split text at the boundaries that the server sees, up to its end or the first unclear string."""
    at = 0
    while at < len(text):
        token = _comment(text, at) or _string(text, at) or _simple(text, at)
        yield token
        if token.kind == "unclear":
            return
        at += len(token.text)


def _simple(text: str, at: int) -> _Token:
    if found := _SPACE.match(text, at):
        return _Token("space", found[0])
    if found := _WORD.match(text, at):
        return _Token("word", found[0])
    return _Token("other", text[at])


def _comment(text: str, at: int) -> _Token | None:
    """Return the comment that begins here. Comments nest."""
    if not text.startswith("/*", at):
        return None
    depth = 0
    for edge in _COMMENT_EDGE.finditer(text, at):
        depth += 1 if edge[0] == "/*" else -1
        if not depth:
            return _Token("space", text[at : edge.end()])
    return _Token("space", text[at:])


def _string(text: str, at: int) -> _Token | None:
    """Return the string that begins at this position, or the rest of the text if the string is not closed."""
    if opening := _DOLLARS.match(text, at):
        end = text.find(opening[0], opening.end())
        return _Token("string", text[at:] if end < 0 else text[at : end + len(opening[0])])
    escaped = _ESCAPED.match(text, at)
    if escaped is None:
        return None
    plain = _PLAIN.match(text, at)
    if plain is None:
        return _Token("string", text[at : _end_of_escaped(text, escaped.end())])
    kind: Literal["string", "unclear"] = "string" if plain[0] == escaped[0] else "unclear"
    return _Token(kind, min(plain[0], escaped[0], key=len))


def _end_of_escaped(text: str, end: int) -> int:
    while more := _CONTINUED.match(text, end):
        following = _ESCAPED.match(text, more.end())
        end = following.end() if following else end
    return end
