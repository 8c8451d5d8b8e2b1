"""Parse SQL with PostgreSQL's own grammar, within limits that protect the process from exhaustion."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

import postgast
from google.protobuf.message import DecodeError
from postgast.pg_query_pb2 import RawStmt, Token

from sessions_app.policy.commands.characters import hidden_at
from sessions_app.policy.commands.document import RuleRefused

MAX_BYTES = 65_536
_MAX_MESSAGE = 160
# The parser uses up to 2 KB of stack for each of these tokens, and threads have 2 MB or more.
MAX_NESTING = 400
# The scanner's time grows with the square of the length of a run of these characters.
_LONG_RUN = re.compile(r"[-~!@#^&|`?+*/%<>=]{256}")
# Tokens that never cause nesting, regardless of how often they occur.
_FLAT = frozenset(
    (
        Token.ASCII_44,
        Token.ASCII_46,
        Token.ICONST,
        Token.FCONST,
        Token.SCONST,
        Token.USCONST,
        Token.IDENT,
        Token.UIDENT,
        Token.PARAM,
    )
)
_DEEP = f"the SQL is too deeply nested, or has more than {MAX_NESTING} operators and keywords: simplify it"


class SQLRefused(RuleRefused):
    """SQL that can't be parsed, or that no command can contain. ``code`` groups the refusals."""

    def __init__(self, reason: str, code: str = "statement") -> None:
        self.code = code
        super().__init__(reason)


def parse(text: str) -> Sequence[RawStmt]:
    """Return the statements of a text, as PostgreSQL 18 parses them. Raises SQLRefused.

    Assumes `standard_conforming_strings = on`.
    """
    if _checked_size(text) > MAX_NESTING:
        # A shorter text has fewer tokens, because each has at least one byte.
        _check_nesting(_scanned(text))
    try:
        found: Sequence[RawStmt] = postgast.parse(text).stmts
    except postgast.PgQueryError as error:
        raise SQLRefused(_reason(error), "syntax") from None
    except DecodeError:
        raise SQLRefused(_DEEP, "syntax") from None
    return found


def tokens_of(text: str) -> Sequence[Any]:
    """Return the tokens of a text, each with its start and end in bytes. Raises SQLRefused."""
    _checked_size(text)
    return _scanned(text)


def _checked_size(text: str) -> int:
    """Return the size of a text in bytes. Raises SQLRefused for a text that can't be scanned safely."""
    try:
        size = len(text.encode())
    except UnicodeEncodeError:
        raise SQLRefused("the SQL is not valid Unicode", "syntax") from None
    if size > MAX_BYTES:
        raise SQLRefused(f"the SQL is longer than {MAX_BYTES // 1024} KB: shorten it", "syntax")
    if "\0" in text:
        raise SQLRefused("the SQL contains a NUL character: remove it", "syntax")
    if size >= 256 and _LONG_RUN.search(text):
        raise SQLRefused("the SQL has 256 operator characters in a row: shorten the run", "syntax")
    return size


def _scanned(text: str) -> Sequence[Any]:
    try:
        found: Sequence[Any] = postgast.scan(text).tokens
    except postgast.PgQueryError as error:
        raise SQLRefused(_reason(error), "syntax") from None
    except DecodeError:
        raise SQLRefused(_DEEP, "syntax") from None
    return found


def _check_nesting(tokens: Sequence[Any]) -> None:
    if len(tokens) > MAX_NESTING and _count(one.token for one in tokens) > MAX_NESTING:
        raise SQLRefused(_DEEP, "syntax")


def _count(tokens: Iterable[int]) -> int:
    return sum(1 for token in tokens if token not in _FLAT)


def _reason(error: postgast.PgQueryError) -> str:
    message = str(error.message)
    if "memory exhausted" in message:
        return _DEEP
    if hidden_at(message) is not None:
        return "the SQL can't be parsed near an invisible character"
    shown = message if len(message) <= _MAX_MESSAGE else f"{message[: _MAX_MESSAGE - 1]}…"
    return f"the SQL can't be parsed: {shown}"
