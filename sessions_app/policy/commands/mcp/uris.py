"""URIs of resources, and templates for them.

A template like ``ticket://{ticket}/*`` has a literal scheme, an authority, and segments. A place (``{name}``
or ``*``) is one whole segment, so it can't match ``/``. Only URIs in canonical spelling match: the scheme and
a host in lowercase, no default port, no dot segments, no empty segments, no query, composed characters (NFC),
and a character is encoded only if it must be. Source: RFC 3986, sections 6.2.2 and 6.2.3; RFC 3987, section
5.3.2.2; Model Context Protocol 2026-07-28, "Resources".
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from urllib.parse import quote, unquote

from sessions_app.policy.commands.characters import clip, hidden_at
from sessions_app.policy.commands.json_values.bodies import Json
from sessions_app.policy.commands.json_values.checks import Check, Exact
from sessions_app.policy.commands.json_values.placeholders import PLACEHOLDER

MAX_URI, MAX_SEGMENTS = 2048, 32
ANY = "*"
_URI = re.compile(r"([a-z][a-z0-9+.-]{0,31})://([^/]*)((?:/[^/]+)*)")
_AUTHORITY = re.compile(r"(?:[A-Za-z0-9_~-](?:[A-Za-z0-9._~-]*[A-Za-z0-9_~-])?(?::[1-9][0-9]{0,4})?)?")
_DOTS = re.compile(r"\.{1,2}(?:;.*)?")
# The characters that a segment has unencoded (RFC 3986, pchar). An asterisk is always a place.
_PLAIN = "!$&'()+,;=:@~"
# Schemes whose authority is a host, which must be literal, with their default ports.
_HOSTED = {
    "http": "80",
    "https": "443",
    "ws": "80",
    "wss": "443",
    "ftp": "21",
    "sftp": "22",
    "ssh": "22",
    "file": "",
}
_TEMPLATE_PART = re.compile(r"\{[^{}]*\}")


class URIRefused(ValueError):
    """A URI or template that is not accepted. The message is a clause."""


def split_uri(uri: str) -> tuple[str, tuple[str, ...]]:
    """Return the scheme, and the authority and the segments, decoded. Raises URIRefused."""
    found = _URI.fullmatch(uri) if len(uri) <= MAX_URI else None
    if found is None or not uri.isascii():
        raise URIRefused("is not a URI like scheme://authority/part, without a query or empty parts")
    if _AUTHORITY.fullmatch(found[2]) is None:
        raise URIRefused(f"has the authority {clip(found[2])}, which can only be a name and a port")
    port = _HOSTED.get(found[1])
    if port is not None and (found[2] != found[2].lower() or found[2].endswith(f":{port}")):
        raise URIRefused(f"has the host {clip(found[2])}: write it in lowercase, without the default port")
    segments = found[3].split("/")[1:]
    if len(segments) > MAX_SEGMENTS:
        raise URIRefused(f"has more than {MAX_SEGMENTS} parts")
    return found[1], (found[2], *map(_decoded, segments))


def _decoded(segment: str) -> str:
    try:
        text = unquote(segment, errors="strict")
    except UnicodeDecodeError:
        raise URIRefused(f"has the part {clip(segment)}, which is not UTF-8") from None
    if quote(text, safe=_PLAIN) != segment or not unicodedata.is_normalized("NFC", text):
        raise URIRefused(f"has the part {clip(segment)}, which is not in canonical spelling")
    unsafe = any(character in text for character in "/\\%?#*")
    if unsafe or hidden_at(text) is not None or _DOTS.fullmatch(unicodedata.normalize("NFKC", text)):
        raise URIRefused(f"has the part {clip(segment)}, which servers can read differently")
    return text


@dataclass(frozen=True, slots=True)
class Template:
    """A parsed template. ``places`` are the authority and the segments, as written."""

    scheme: str
    places: tuple[str, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """The parameters, without duplicates."""
        return tuple(dict.fromkeys(found[1] for one in self.places if (found := PLACEHOLDER.fullmatch(one))))

    @property
    def authority_name(self) -> str | None:
        """The parameter that is the authority; None if the authority is literal."""
        found = PLACEHOLDER.fullmatch(self.places[0])
        return found[1] if found else None


def template_of(text: str) -> Template:
    """Parse a template. Raises URIRefused."""
    scheme, marker, rest = text.partition("://")
    authority, *segments = rest.split("/")
    given = [one for one in (authority, *segments) if not _is_place(one)]
    if not marker or authority == ANY:
        raise URIRefused("needs a literal scheme and an authority: write it like ticket://{ticket}/*")
    if any(set(one) & {"{", "}", "*"} for one in given):
        raise URIRefused("has a place that is only part of a segment: use * or {name} as a whole segment")
    filled = ["x" if _is_place(one) else one for one in segments]
    named = PLACEHOLDER.fullmatch(authority) is not None
    _, parts = split_uri(f"{scheme}://{'/'.join(('x' if named else authority, *filled))}")
    if named and scheme in _HOSTED:
        raise URIRefused(f"has a parameter as the host of {scheme}: write the host")
    places = (one if _is_place(one) else part for one, part in zip(segments, parts[1:], strict=True))
    return Template(scheme, (authority, *places))


def _is_place(text: str) -> bool:
    return text == ANY or PLACEHOLDER.fullmatch(text) is not None


@dataclass(frozen=True, slots=True)
class URICheck:
    """Allows the URIs that a template describes. ``parts`` are the authority and the segments; None is any
    segment.
    """

    scheme: str
    parts: tuple[Check | None, ...]

    @property
    def limits(self) -> str:
        """The template, with values in place."""
        shown = "/".join(_shown(part) for part in self.parts)
        return f"{self.scheme}://{shown}"

    @property
    def is_bound(self) -> bool:
        """Whether only one URI matches."""
        return all(isinstance(part, Exact) for part in self.parts)

    def fault(self, value: Json, matched: dict[str, str]) -> str | None:
        """Return why a value does not match; None if it does."""
        if not isinstance(value, str):
            return "needs a URI"
        try:
            scheme, texts = split_uri(value)
        except URIRefused as error:
            return str(error)
        if scheme != self.scheme or len(texts) != len(self.parts):
            return f"needs {self.limits}"
        faults = (part.fault(text, matched) for part, text in zip(self.parts, texts, strict=True) if part)
        return f"needs {self.limits}" if any(fault is not None for fault in faults) else None

    def may_match(self, template: str) -> bool:
        """Whether a URI that a server's template (RFC 6570) describes can match. Only simple expressions that
        are within one segment are supported.
        """
        scheme, marker, rest = template.partition("://")
        texts = rest.split("/")
        if not marker or scheme != self.scheme or len(texts) != len(self.parts):
            return False
        return all(map(_may_be, self.parts, texts))


def _shown(part: Check | None) -> str:
    if part is None:
        return ANY
    if isinstance(part, Exact):
        return quote(str(part.value), safe=_PLAIN)
    return f"{{{part.name}}}"


def _may_be(part: Check | None, text: str) -> bool:
    expressions = _TEMPLATE_PART.findall(text)
    if any(not re.fullmatch(r"\{[A-Za-z0-9_.%]+\}", one) for one in expressions):
        return False
    if part is None or not isinstance(part, Exact):
        return True
    literal = "[^/]+".join(map(re.escape, _TEMPLATE_PART.split(text)))
    return re.fullmatch(literal, quote(str(part.value), safe=_PLAIN)) is not None


def check_of(template: Template, resolve: Callable[[str], Check]) -> URICheck:
    """Return the check for a template. ``resolve`` returns the check of a parameter."""

    def checks() -> Iterator[Check | None]:
        for one in template.places:
            found = PLACEHOLDER.fullmatch(one)
            yield None if one == ANY else resolve(found[1]) if found else Exact(one)

    return URICheck(template.scheme, tuple(checks()))
