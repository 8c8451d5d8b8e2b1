"""Canonical SQL in pieces: fixed text, and the constants and bound parameters between it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Literal, NamedTuple

import postgast
from postgast.pg_query_pb2 import KeywordKind

from sessions_app.policy.commands.postgres.sql.parsing import SQLRefused

_PLAIN = re.compile(r"[a-z_][a-z0-9_$]*")
_FREE = (KeywordKind.NO_KEYWORD, KeywordKind.UNRESERVED_KEYWORD)
_DECIMAL = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?")


class Value(NamedTuple):
    """A constant, or a bound parameter with its ``number``; ``cast`` is the type that it is cast to."""

    kind: Literal["number", "text", "bool", "null", "bound"]
    text: str
    number: int = 0
    cast: str = ""


Piece = str | Value
# The pieces with None for each value: statements with the same shape differ only in their values.
Shape = tuple[str | None, ...]


def shape_of(pieces: Iterable[Piece]) -> Shape:
    """Return the shape of a statement."""
    return tuple([piece if isinstance(piece, str) else None for piece in pieces])


def values_of(pieces: Iterable[Piece]) -> tuple[Value, ...]:
    """Return the values of a statement, in order."""
    return tuple([piece for piece in pieces if not isinstance(piece, str)])


def joined(pieces: Iterable[Piece]) -> tuple[Piece, ...]:
    """Return the pieces with adjacent text joined."""
    found: list[Piece] = []
    texts: list[str] = []
    for piece in pieces:
        if isinstance(piece, str):
            texts.append(piece)
            continue
        found.append("".join(texts))
        found.append(piece)
        texts = []
    found.append("".join(texts))
    return tuple(found)


def render(shape: Shape, values: Sequence[str]) -> str:
    """Return the SQL with these texts in place of the values."""
    rest = iter(values)
    return "".join([next(rest) if piece is None else piece for piece in shape])


def literal(value: Value) -> str:
    """Return a value as SQL: a constant, or `$n`."""
    kind, text, number, cast = value
    if kind == "text":
        text = quoted_text(text)
    elif kind == "bound":
        text = f"${number}"
    elif kind == "null":
        text = "NULL"
    elif text.startswith("-"):
        text = f"({text})"
    return f"{text}::{cast}" if cast else text


def quoted_text(text: str) -> str:
    """Return a text as a constant that has the same meaning for both values of
    `standard_conforming_strings`.
    """
    escaped = text.replace("'", "''")
    return "E'" + escaped.replace("\\", "\\\\") + "'" if "\\" in text else f"'{escaped}'"


def number_text(text: str) -> str:
    """Return a number that is written in plain decimal. Raises SQLRefused for any other notation."""
    if _DECIMAL.fullmatch(text) is None:
        raise SQLRefused(f"write the number {text[:40]} in plain decimal, like 0.5", "value")
    return text


@lru_cache(maxsize=4096)
def identifier(name: str) -> str:
    """Return a name as written, quoted if PostgreSQL would otherwise read it differently."""
    if _PLAIN.fullmatch(name):
        (token,) = postgast.scan(name).tokens
        if token.keyword_kind in _FREE:
            return name
    return '"' + name.replace('"', '""') + '"'


def dotted(names: Iterable[str]) -> str:
    """Return a qualified name."""
    return ".".join(map(identifier, names))
