"""Hides values in the text of a statement that is not allowed, and which may contain secrets."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from postgast.pg_query_pb2 import Token

from sessions_app.policy.commands.postgres.sql.parsing import SQLRefused, tokens_of

# Constants, and comments.
_HIDDEN = frozenset(
    (
        Token.SCONST,
        Token.USCONST,
        Token.BCONST,
        Token.XCONST,
        Token.ICONST,
        Token.FCONST,
        Token.UIDENT,
        Token.C_COMMENT,
        Token.SQL_COMMENT,
    )
)


def hidden(text: str, digest: Callable[[str], str]) -> str:
    """Return a text with its constants, comments and quoted names replaced by what ``digest`` returns.

    Some programs quote values like names. A text that can't be scanned is replaced as a whole.
    """
    try:
        tokens = tokens_of(text)
    except SQLRefused:
        return digest(text)
    return b"".join(_pieces(text.encode(), tokens, digest)).decode()


def _pieces(raw: bytes, tokens: Any, digest: Callable[[str], str]) -> Iterator[bytes]:
    at = 0
    for token in tokens:
        source = raw[token.start : token.end].decode()
        if token.token in _HIDDEN or source.startswith('"'):
            yield raw[at : token.start]
            yield digest(_value(source)).encode()
            at = token.end
    yield raw[at:]


def _value(source: str) -> str:
    """Return the value of a plain text constant, so that it has the same digest as in an allowed
    statement.
    """
    return source[1:-1].replace("''", "'") if source.startswith("'") else source
