"""Request templates with placeholders for values: `POST /tickets/{ticket}/close`.

A placeholder matches text within one path segment, and a segment has at most one placeholder. A placeholder
of type `path` comes last and takes the rest, including its leading slash: `GET /files{file}`.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import unquote

from sessions_app.policy.commands.document import RuleRefused
from sessions_app.policy.commands.http.targets import read_target
from sessions_app.policy.commands.json_values.placeholders import PLACEHOLDER
from sessions_app.policy.commands.parameters import ParameterType, PathBelow

ANY = "*"
# CONNECT opens a tunnel, and TRACE reveals what proxies added. Neither is an API request.
_NEVER = frozenset(("CONNECT", "TRACE"))
METHOD = re.compile(r"[A-Z][A-Z-]{0,19}")


@dataclass(frozen=True, slots=True)
class PathParameter:
    """A placeholder for a parameter's value."""

    name: str


@dataclass(frozen=True, slots=True)
class Template:
    """A method, and the path in pieces: literal text without escapes, and placeholders."""

    method: str
    pieces: tuple[str | PathParameter, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """The template's parameters, without duplicates."""
        return tuple(dict.fromkeys(piece.name for piece in self.pieces if isinstance(piece, PathParameter)))


def check_method(method: str) -> str:
    """Return a method if it is spelled as in RFC 9110. Raises RuleRefused."""
    if METHOD.fullmatch(method) is None or method in _NEVER:
        raise RuleRefused(f"`{method[:20]}` is not an allowed method: use one like GET or POST, in uppercase")
    return method


def parse_template(text: str, *, any_method: bool = False) -> Template:
    """Parse a request from a document. Raises RuleRefused."""
    method, space, path = text.partition(" ")
    if not space or " " in path:
        raise RuleRefused("must be a method, one space and a path: GET /tickets/{ticket}")
    if not (any_method and method == ANY):
        check_method(method)
    if "?" in path:
        raise RuleRefused("contains a “?”: put the query under query")
    return Template(method, _pieces(path))


def _pieces(path: str) -> tuple[str | PathParameter, ...]:
    for segment in path.split("/"):
        if len(PLACEHOLDER.findall(segment)) > 1:
            raise RuleRefused("has two parameters in one path segment, so their values can't be separated")
    filled = PLACEHOLDER.sub("x", path)
    if "{" in filled or "}" in filled:
        raise RuleRefused(
            "contains a brace that is not a parameter {name}: use lowercase letters, digits and _"
        )
    read_target(filled)
    parts = re.split(r"(\{[^}]*\})", path)
    pieces = (
        PathParameter(part[1:-1]) if part[:1] == "{" else unquote(part, errors="strict")
        for part in parts
        if part
    )
    return tuple(pieces)


def pattern_of(
    template: Template, bound: Mapping[str, str], types: Mapping[str, ParameterType], *, broad: bool
) -> re.Pattern[str]:
    """Return the pattern for a path with bound values inserted. The pattern's groups are the free values.

    `broad` is for denied requests: the pattern then matches any letter case, with or without a trailing
    slash.
    """
    text, seen = "", set[str]()
    # An optional trailing slash is not part of a value.
    rest = "/.+?" if broad else "/.+"
    for piece in template.pieces:
        if isinstance(piece, str):
            text += re.escape(piece)
        elif piece.name in bound:
            text += re.escape(bound[piece.name])
        elif piece.name in seen:
            text += f"(?P={piece.name})"
        else:
            seen.add(piece.name)
            text += f"(?P<{piece.name}>{rest if isinstance(types[piece.name], PathBelow) else '[^/]+'})"
    return re.compile(text.removesuffix("/") + "/?" if broad else text, re.IGNORECASE if broad else 0)
