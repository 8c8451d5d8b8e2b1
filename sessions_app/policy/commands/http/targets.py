"""Request targets in the only spelling that every proxy and framework parses the same way.

Nothing is repaired: ambiguous targets are refused. So the application receives, byte for byte, the path
that was decided. Source: RFC 3986 §2, §3.3, §6.2.2; RFC 9112 §3.2.1 (origin form).
"""

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import unquote_to_bytes

from sessions_app.policy.commands.characters import hidden_at, show
from sessions_app.policy.commands.document import RuleRefused

MAX_TARGET = 4096
MAX_QUERY_NAMES = 50

_CHARS = r"A-Za-z0-9_~!$&'()*+,=:@\-"
# No segment is empty or ends with a dot: `.` and `..` are navigation, and Windows drops a trailing dot.
_PLAIN_PATH = re.compile(rf"(?:/[{_CHARS}.]*[{_CHARS}])+/?|/")
_ESCAPED_PATH = re.compile(rf"(?:/(?:[{_CHARS}.]|%[0-9A-F]{{2}})*(?:[{_CHARS}]|%[0-9A-F]{{2}}))+/?|/")
_QUERY_VALUE = r"(?:[A-Za-z0-9_.~!$'()*,:@/\-]|%[0-9A-F]{2})*"
_QUERY = re.compile(rf"[A-Za-z0-9_.~\-]+={_QUERY_VALUE}(?:&[A-Za-z0-9_.~\-]+={_QUERY_VALUE})*")
_ESCAPE = re.compile(r"%([0-9A-Fa-f]{2})?")
_TWICE = re.compile(r"%[0-9A-Fa-f]{2}")
_UNRESERVED = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")


class TargetRefused(RuleRefused):
    """A request target that two parsers could read differently.

    `reason` describes the ambiguity and the unambiguous spelling.
    """


@dataclass(frozen=True, slots=True)
class Target:
    """A request target as sent (`text`), its path without escapes, and its query by name."""

    text: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict)


def read_target(text: str) -> Target:
    """Parse a path and query from a request line. Raises TargetRefused.

    Parsing is idempotent: an accepted target is its own canonical form.
    """
    if len(text) > MAX_TARGET:
        raise TargetRefused(f"the path is longer than {MAX_TARGET} characters")
    path, mark, query = text.partition("?")
    if _PLAIN_PATH.fullmatch(path) is None:
        path = _escaped_path(path)
    if not mark:
        return Target(text, path)
    return Target(text, path, _read_query(query))


def _escaped_path(path: str) -> str:
    if _ESCAPED_PATH.fullmatch(path) is None:
        raise TargetRefused(_fault(path))
    raw = unquote_to_bytes(path)
    for escape in _ESCAPE.findall(path):
        _check_path_escape(int(escape, 16))
    decoded = _decoded(raw)
    if any(segment != segment.strip(" ") for segment in decoded.split("/")):
        raise TargetRefused("a path segment begins or ends with a space, which some servers strip")
    return decoded


def _check_path_escape(byte: int) -> None:
    if byte != 0x20 and byte < 0x80:
        why = "write it unescaped" if byte in _UNRESERVED else "proxies disagree on what it means"
        raise TargetRefused(f"the path contains %{byte:02X}: {why}")


def _decoded(raw: bytes) -> str:
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        raise TargetRefused("the percent-encoding is not UTF-8") from None
    at = hidden_at(text)
    if at is not None:
        raise TargetRefused(f"{show(text[at])} is not printable: remove it")
    if unicodedata.normalize("NFKC", text) != text:
        raise TargetRefused("the path contains a character that some servers normalize to another one (NFKC)")
    return text


def _fault(path: str) -> str:
    """Return why a path is not in its canonical spelling; empty if it is."""
    for found, reason in _FAULTS:
        if found.search(path):
            return reason
    escape = next(
        (match for match in _ESCAPE.finditer(path) if match[1] is None or match[1].upper() != match[1]), None
    )
    if escape is not None:
        return f"the escape `{escape[0]}` must be % and two hexadecimal digits (0-9, A-F)"
    return "the path contains a character that must be escaped: write it as % and its UTF-8 bytes"


_FAULTS = (
    (re.compile(r"[\x00-\x20\x7f]"), "the path contains a control character or a space"),
    (re.compile(r"[^\x00-\x7f]"), "the path contains bytes that are not ASCII: escape them"),
    (
        re.compile(r"\A[^/]|\A\Z"),
        "the path must begin with “/”: the absolute form, `*` and host:port are not supported",
    ),
    (re.compile(r"#"), "a fragment (#) is never sent to a server"),
    (re.compile(r"\\|%5[Cc]"), "some servers treat a backslash as a slash"),
    (re.compile(r";|%3[Bb]"), "some servers strip `;` and the text after it"),
    (re.compile(r"//"), "`//` is one slash to some proxies and two to others"),
    (re.compile(r"%00"), "%00 ends the path for some servers"),
    (re.compile(r"%2[Ff]"), "some servers treat %2F as a slash"),
    (re.compile(r"%2[Ee]"), "most servers treat %2E as a dot: write it unescaped"),
    (re.compile(r"%25"), "%25 may be decoded twice"),
    (re.compile(r"/\.\.?(/|\Z)"), "`.` and `..` are resolved by proxies but maybe not by applications"),
    (re.compile(r"\.(/|\Z)"), "a path segment ends with a dot, which some servers strip"),
)


def _read_query(query: str) -> dict[str, str]:
    if _QUERY.fullmatch(query) is None:
        raise TargetRefused(_query_fault(query))
    found: dict[str, str] = {}
    for pair in query.split("&"):
        name, _, value = pair.partition("=")
        if name in found:
            raise TargetRefused(f"`{name}` is repeated in the query: servers differ on which one they use")
        found[name] = _query_value(value) if "%" in value else value
    if len(found) > MAX_QUERY_NAMES:
        raise TargetRefused(f"the query has more than {MAX_QUERY_NAMES} names")
    return found


def _query_value(value: str) -> str:
    for escape in _ESCAPE.findall(value):
        if int(escape, 16) in _UNRESERVED:
            raise TargetRefused(f"the query contains %{escape}: write it unescaped")
    text = _decoded(unquote_to_bytes(value))
    if _TWICE.search(text):
        raise TargetRefused("a value in the query may be decoded twice")
    return text


def _query_fault(query: str) -> str:
    if not query:
        return "the query is empty: remove the “?”"
    if ";" in query:
        return "some servers treat `;` as a query separator: write %3B"
    if "+" in query:
        return "some servers treat `+` in a query as a space: write %20 or %2B"
    if re.search(r"[\x00-\x20\x7f-\uffff#\\]", query):
        return (
            "the query contains a space, a control character, `#`, a backslash or bytes that are not ASCII:"
            " escape them"
        )
    if any("=" not in pair or not pair.partition("=")[0] for pair in query.split("&")):
        return "each part of the query must be name=value"
    return (
        "the query must be plain name=value pairs, with other characters as % and two hexadecimal digits "
        "(0-9, A-F)"
    )
