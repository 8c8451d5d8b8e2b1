"""The strict parser for privileges as people write them: `SELECT, UPDATE (status) ON app.orders`.

It parses what PostgreSQL allows between GRANT and TO, with fully qualified names, and `ROLE name` for a
template role. It refuses everything else. In a command set, `{name}` stands for one whole name.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from sessions_app.policy.commands.characters import clip, hidden_at, show
from sessions_app.policy.commands.document import RuleRefused
from sessions_app.policy.commands.postgres.privileges import (
    PARTS,
    PRIVILEGES,
    TYPE_NAMES,
    WORDS,
    ArgumentType,
    Name,
    ObjectKind,
    Privilege,
    Slot,
)

MAX_LINE = 4096
MAX_PRIVILEGES = 200
# NAMEDATALEN - 1. PostgreSQL silently truncates longer names.
MAX_NAME_BYTES = 63

_TOKEN = re.compile(
    r'\s*(?:(?P<quoted>"(?:[^"]|"")*")|(?P<slot>\{[a-z][a-z0-9_]{0,62}\})'
    r"|(?P<word>[^\W\d][\w$]*)|(?P<mark>[().,\[\]]))"
)
_FOLD = str.maketrans("ABCDEFGHIJKLMNOPQRSTUVWXYZ", "abcdefghijklmnopqrstuvwxyz")
_ARGUMENT_ENDS = frozenset((",", ")", "[", "."))

_REFUSED_WORDS = {
    "GRANT": "remove GRANT and TO: write only what is granted, as in `SELECT ON app.orders`",
    "ALL": "ALL includes privileges that you did not review: list them, as in `SELECT, INSERT ON app.orders`",
    "CREATE": (
        "CREATE lets the holder create objects that outlive the grant, and functions that others run:"
        " remove it"
    ),
    "TRIGGER": (
        "TRIGGER lets the holder run code with the rights of everyone who writes to the table: remove it"
    ),
    "REFERENCES": "REFERENCES lets the holder block changes to the table: remove it",
    "TEMPORARY": "TEMPORARY can't be granted: PUBLIC has it unless it was revoked",
    "TEMP": "TEMP can't be granted: PUBLIC has it unless it was revoked",
    "MAINTAIN": (
        "MAINTAIN lets the holder lock and rewrite the table: put the one task into a function and grant"
        " EXECUTE"
    ),
    "SET": "SET on a server setting can't be granted",
    "ALTER": "ALTER SYSTEM changes the whole server: remove it",
    "COPY": (
        "COPY with a PROGRAM or a file runs on the server itself: grant SELECT or INSERT, and let the client"
        " copy"
    ),
    "SUPERUSER": "a superuser has no limits: grant only what is needed",
}


class LineRefused(RuleRefused):
    """A line that is not a list of privileges. ``reason`` is a sentence for its author."""


@dataclass(frozen=True, slots=True)
class _Token:
    text: str
    kind: str

    @property
    def keyword(self) -> str:
        return self.text.upper() if self.kind == "word" else ""


def parse_line(line: str) -> tuple[Privilege, ...]:
    """Return the privileges that a line names, each once. Raises LineRefused."""
    return _parse(line, slots=False)


def parse_template(line: str) -> tuple[Privilege, ...]:
    """Like `parse_line`, but `{name}` may stand for a whole name. Raises LineRefused."""
    return _parse(line, slots=True)


def _parse(line: str, *, slots: bool) -> tuple[Privilege, ...]:
    reader = _Reader(_tokens(line, slots=slots))
    found = _memberships(reader) if reader.at("ROLE") else _privileges(reader)
    if len(found) > MAX_PRIVILEGES:
        raise LineRefused(f"a line names at most {MAX_PRIVILEGES} privileges: write several commands")
    return tuple(dict.fromkeys(found))


def _tokens(line: str, *, slots: bool) -> list[_Token]:
    if len(line) > MAX_LINE:
        raise LineRefused(f"a line has at most {MAX_LINE} characters")
    hidden = hidden_at(line)
    if hidden is not None:
        raise LineRefused(f"the line contains {show(line[hidden])}, which is invisible: remove it")
    tokens, at = [], 0
    while line[at:].strip():
        found = _TOKEN.match(line, at)
        if found is None or (found.lastgroup == "slot" and not slots):
            raise LineRefused(f"{clip(line[at:].strip())} is not valid here: write names and privileges only")
        tokens.append(_Token(found[0].strip(), str(found.lastgroup)))
        at = found.end()
    if not tokens:
        raise LineRefused("the line is empty: write a privilege, as in `SELECT ON app.orders`")
    return tokens


class _Reader:
    """The tokens of one line, from left to right."""

    def __init__(self, tokens: list[_Token]) -> None:
        self._tokens = tokens
        self._at = 0

    def peek(self) -> _Token:
        """Return the next token; an empty one at the end."""
        return self._tokens[self._at] if self._at < len(self._tokens) else _Token("", "end")

    def at(self, what: str) -> bool:
        """Whether the next token is this mark or keyword."""
        token = self.peek()
        return token.keyword == what or (token.kind == "mark" and token.text == what)

    def take(self, what: str) -> bool:
        """Consume this mark or keyword if it is the next token, and return whether it was."""
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
        """Consume one name as PostgreSQL reads it: folded to lowercase outside quotes. Raises LineRefused."""
        token = self.peek()
        if token.kind not in {"word", "quoted", "slot"}:
            raise LineRefused(f"{self._said()} where {what} is needed")
        self._at += 1
        if token.kind == "slot":
            return Slot(token.text[1:-1])
        text = token.text.translate(_FOLD) if token.kind == "word" else token.text[1:-1].replace('""', '"')
        check_name(text)
        return text

    def end(self) -> None:
        """Raise LineRefused if anything follows."""
        if self.at("TO"):
            raise LineRefused(
                "remove TO and everything after it: the grant's own role gets it, never PUBLIC or another"
                " role"
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


def check_name(text: str) -> None:
    """Raise LineRefused for an invalid PostgreSQL name."""
    if not text:
        raise LineRefused("a name is empty: enter one between the quotes")
    if len(text.encode()) > MAX_NAME_BYTES:
        raise LineRefused(f"{clip(text)} is longer than the {MAX_NAME_BYTES} bytes that a name may have")


def _memberships(reader: _Reader) -> list[Privilege]:
    reader.need("ROLE", "first")
    roles = [reader.name("a role's name")]
    while reader.take(","):
        roles.append(reader.name("a role's name"))
    reader.end()
    if "public" in roles:
        raise LineRefused("PUBLIC is not a role: use a template role")
    return [Privilege("role", "MEMBER", (role,)) for role in roles]


def _privileges(reader: _Reader) -> list[Privilege]:
    wanted = [_wanted(reader)]
    while reader.take(","):
        wanted.append(_wanted(reader))
    reader.need("ON", "after the privileges")
    kind, names, arguments = _object(reader)
    reader.end()
    return [one for word, columns in wanted for one in _of(word, columns, kind, names, arguments)]


def _wanted(reader: _Reader) -> tuple[str, tuple[Name, ...]]:
    word = reader.word("a privilege, such as SELECT,")
    if word in _REFUSED_WORDS:
        raise LineRefused(_REFUSED_WORDS[word])
    columns: list[Name] = []
    if reader.take("("):
        columns.append(reader.name("a column's name"))
        while reader.take(","):
            columns.append(reader.name("a column's name"))
        reader.need(")", "after the columns")
    return word, tuple(columns)


def _object(reader: _Reader) -> tuple[ObjectKind, tuple[Name, ...], tuple[ArgumentType, ...]]:
    kind: ObjectKind = "table"
    if reader.at("ALL"):
        raise LineRefused(
            "ALL … IN SCHEMA leaves out objects that are created later: create a template role and write"
            " `ROLE name`"
        )
    for word, its_kind in WORDS.items():
        if reader.take(word):
            kind = its_kind
            break
    names = [reader.name("the object's name")]
    while reader.take("."):
        names.append(reader.name("a name"))
    _check_parts(kind, names)
    return kind, tuple(names), _arguments(reader) if kind == "function" else ()


def _check_parts(kind: ObjectKind, names: list[Name]) -> None:
    if len(names) == PARTS[kind]:
        return
    if len(names) < PARTS[kind]:
        raise LineRefused(
            f"write the {kind} with its schema, as in `app.orders`: otherwise the search path could select "
            "another one"
        )
    raise LineRefused(
        f"the name of a {kind} has {PARTS[kind]} part{'s' if PARTS[kind] > 1 else ''}, but this one has "
        f"{len(names)}"
    )


def _of(
    word: str,
    columns: tuple[Name, ...],
    kind: ObjectKind,
    names: tuple[Name, ...],
    arguments: tuple[ArgumentType, ...],
) -> Iterable[Privilege]:
    if columns and kind != "table":
        raise LineRefused(f"a {kind} has no columns: remove them")
    fits: ObjectKind = "column" if columns else kind
    if word not in PRIVILEGES[fits]:
        raise LineRefused(
            f"{clip(word)} can't be granted on a {fits} here, only {', '.join(PRIVILEGES[fits])}"
        )
    if columns:
        return [Privilege("column", word, (*names, column)) for column in columns]
    return [Privilege(kind, word, names, arguments)]


def _arguments(reader: _Reader) -> tuple[ArgumentType, ...]:
    reader.need(
        "(",
        "after the function's name, because functions can be overloaded: write its argument types",
    )
    found: list[ArgumentType] = []
    if reader.take(")"):
        return ()
    found.append(_argument(reader))
    while reader.take(","):
        found.append(_argument(reader))
    reader.need(")", "after the arguments")
    return tuple(found)


def _argument(reader: _Reader) -> ArgumentType:
    is_quoted = reader.peek().kind == "quoted"
    words = [_type_word(reader)]
    if reader.take("."):
        schema, name = words[0], _type_word(reader)
    else:
        while reader.peek().kind == "word":
            words.append(_type_word(reader))
        schema, name = "pg_catalog", _standard(words, is_quoted=is_quoted)
    array = reader.take("[")
    if array:
        reader.need("]", "after `[`")
    return ArgumentType(schema, name, array)


def _type_word(reader: _Reader) -> str:
    name = reader.name("an argument's type")
    if isinstance(name, Slot):
        raise LineRefused("a parameter can't be used as a type: write the type")
    return name


def _standard(words: list[str], *, is_quoted: bool) -> str:
    text = " ".join(words)
    if not is_quoted and text in TYPE_NAMES:
        return TYPE_NAMES[text]
    if len(words) > 1:
        raise LineRefused(
            f"{clip(text)} is not a type: write only the types of the arguments, without their names"
        )
    return text
