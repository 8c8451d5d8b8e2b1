"""Parses a list of privileges as people write it: `SELECT, UPDATE (status) ON app.orders`."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from sessions_app.policy.commands.characters import clip, hidden_at, show
from sessions_app.policy.commands.document import RuleRefused
from sessions_app.policy.commands.privileges.privilege import Name, Privilege, Slot

_Found = TypeVar("_Found", bound=Privilege)

MAX_LINE = 4096
MAX_PRIVILEGES = 200


class LineRefused(RuleRefused):
    """A line that is not a list of privileges. ``reason`` is a sentence for the line's author."""


@dataclass(frozen=True, slots=True)
class Spelling:
    """How a server spells names.

    ``quote`` is the quotation mark, doubled inside a quoted name. ``plain`` matches a name without quotes,
    and ``fold`` returns it as the server stores it. ``check`` raises LineRefused for an invalid name.
    """

    quote: str
    plain: str
    fold: Callable[[str], str]
    check: Callable[[str], None]

    @property
    def token(self) -> re.Pattern[str]:
        """The pattern of one token: a quoted name, a placeholder, a word or a mark."""
        mark = re.escape(self.quote)
        return re.compile(
            rf"\s*(?:(?P<quoted>{mark}(?:[^{mark}]|{mark}{mark})*{mark})"
            rf"|(?P<slot>\{{[a-z][a-z0-9_]{{0,62}}\}})|(?P<word>{self.plain})|(?P<mark>[().,\[\]]))"
        )


@dataclass(frozen=True, slots=True)
class Token:
    """One token of a line."""

    text: str
    kind: str

    @property
    def keyword(self) -> str:
        """The word in uppercase; empty if the token is not a word."""
        return self.text.upper() if self.kind == "word" else ""


class Reader:
    """The tokens of one line, from left to right."""

    def __init__(self, line: str, spelling: Spelling, *, slots: bool) -> None:
        """``slots``: `{name}` can take the place of a whole name. Raises LineRefused."""
        self._spelling = spelling
        self._tokens = _tokens(line, spelling.token, slots=slots)
        self._at = 0

    def peek(self) -> Token:
        """Return the next token; an empty one at the end."""
        return self._tokens[self._at] if self._at < len(self._tokens) else Token("", "end")

    def at(self, what: str) -> bool:
        """Whether the next token is this mark or keyword."""
        token = self.peek()
        return token.keyword == what or (token.kind == "mark" and token.text == what)

    def take(self, what: str) -> bool:
        """Consume this mark or keyword if it is the next token, and return whether it was consumed."""
        if self.at(what):
            self._at += 1
            return True
        return False

    def need(self, what: str, where: str) -> None:
        """Consume this mark or keyword. Raises LineRefused if it is missing."""
        if not self.take(what):
            raise LineRefused(f"{self._said()} where {clip(what)} is needed {where}")

    def word(self, what: str) -> str:
        """Consume a keyword and return it in uppercase. Raises LineRefused."""
        token = self.peek()
        if token.kind != "word":
            raise LineRefused(f"{self._said()} where {what} is needed")
        self._at += 1
        return token.keyword

    def name(self, what: str) -> Name:
        """Consume one name and return it as the server stores it. Raises LineRefused."""
        token = self.peek()
        if token.kind not in {"word", "quoted", "slot"}:
            raise LineRefused(f"{self._said()} where {what} is needed")
        self._at += 1
        if token.kind == "slot":
            return Slot(token.text[1:-1])
        quote = self._spelling.quote
        is_word = token.kind == "word"
        text = self._spelling.fold(token.text) if is_word else token.text[1:-1].replace(quote * 2, quote)
        self._spelling.check(text)
        return text

    def names(self, what: str) -> list[Name]:
        """Consume one or more names with commas between them. Raises LineRefused."""
        found = [self.name(what)]
        while self.take(","):
            found.append(self.name(what))
        return found

    def wanted(self, refused: Mapping[str, str]) -> list[tuple[str, tuple[Name, ...]]]:
        """Consume the privileges before ON, and ON itself. Return each privilege with its columns.

        ``refused`` maps words that no command can contain to the reason. Raises LineRefused.
        """
        found = [self._privilege(refused)]
        while self.take(","):
            found.append(self._privilege(refused))
        self.need("ON", "after the privileges")
        return found

    def _privilege(self, refused: Mapping[str, str]) -> tuple[str, tuple[Name, ...]]:
        word = self.word("a privilege, such as SELECT,")
        if word in refused:
            raise LineRefused(refused[word])
        columns: list[Name] = []
        if self.take("("):
            columns = self.names("a column's name")
            self.need(")", "after the columns")
        return word, tuple(columns)

    def end(self) -> None:
        """Raise LineRefused if anything follows."""
        if self.at("TO"):
            raise LineRefused(
                "remove TO and everything after it: privileges go to the grant's own role, never to "
                "PUBLIC or another role"
            )
        if self.at("WITH"):
            raise LineRefused("WITH GRANT OPTION and WITH ADMIN OPTION are not allowed: remove them")
        if self.at(","):
            raise LineRefused("a command names only one object: write a separate command for each")
        if self.peek().kind != "end":
            raise LineRefused(f"{self._said()} after the end of the command: remove it")

    def _said(self) -> str:
        token = self.peek()
        return f"{clip(token.text)} appears" if token.kind != "end" else "the line ends"


def _tokens(line: str, pattern: re.Pattern[str], *, slots: bool) -> list[Token]:
    if len(line) > MAX_LINE:
        raise LineRefused(f"a line can have at most {MAX_LINE} characters")
    hidden = hidden_at(line)
    if hidden is not None:
        raise LineRefused(f"the line contains {show(line[hidden])}, which is invisible: remove it")
    tokens, at = [], 0
    while line[at:].strip():
        found = pattern.match(line, at)
        if found is None or (found.lastgroup == "slot" and not slots):
            raise LineRefused(f"{clip(line[at:].strip())} is not valid here: write names and privileges only")
        tokens.append(Token(found[0].strip(), str(found.lastgroup)))
        at = found.end()
    if not tokens:
        raise LineRefused("the line is empty: write a privilege, as in `SELECT ON app.orders`")
    return tokens


def distinct(found: list[_Found]) -> tuple[_Found, ...]:
    """Return the privileges of a line without duplicates. Raises LineRefused if there are too many."""
    if len(found) > MAX_PRIVILEGES:
        raise LineRefused(f"a line can name at most {MAX_PRIVILEGES} privileges: write several commands")
    return tuple(dict.fromkeys(found))
