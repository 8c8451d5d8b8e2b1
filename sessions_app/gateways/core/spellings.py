"""Find secrets in text in any encoding: percent-encoding (RFC 3986 §2.1), forms, JSON (RFC 8259 §7),
hexadecimal, either base64 alphabet (RFC 4648 §5), or two of these nested.
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial

REMOVED = "(removed)"
# How many encodings may be nested, such as a percent sign that is percent-encoded, or JSON in a query.
_DEEPEST = 2
_SHORT = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}
# Equivalent characters: a space and a plus in forms, and the characters in which the two base64 alphabets
# differ.
_SAME = str.maketrans("+-_", "  /")

_Span = tuple[int, int]


@dataclass(frozen=True, slots=True)
class _Encoding:
    """An encoding. ``unit`` matches one escape, and ``plain`` decodes its group 1. Each escape contains
    ``mark``.
    """

    mark: str
    unit: re.Pattern[str]
    plain: Callable[[str], str]


@dataclass(frozen=True, slots=True)
class _Reading:
    """A text decoded by a sequence of encodings."""

    text: str
    undone: tuple[_Encoding, ...] = ()


def without(text: str, secrets: Iterable[str]) -> str:
    """Return a string with each secret in it replaced, regardless of its encoding."""
    octets, (shortest, wanted) = _octets(text), _wanted(tuple(secrets))
    # Decoding never makes a string longer.
    if len(octets) < shortest:
        return text
    spans = sorted(_found(octets, wanted))
    if not spans:
        return text
    kept, at = "", 0
    for start, end in spans:
        if start >= at:
            kept += octets[at:start] + REMOVED
        at = max(at, end)
    return (kept + octets[at:]).encode("latin-1").decode("utf-8", "surrogateescape")


@lru_cache(maxsize=64)
def _wanted(secrets: tuple[str, ...]) -> tuple[int, frozenset[str]]:
    """Return the strings to search for, and the length of the shortest of them.

    The strings are each secret, with and without base64 padding, and its whole encoded forms.
    """
    spelled = {form for secret in secrets for form in (_octets(secret), *_written(_octets(secret)))}
    plain = {_alike(form) for form in spelled}
    wanted = frozenset(plain | {form.rstrip("=") for form in plain})
    return min(map(len, wanted), default=0), wanted


def _written(octets: str) -> Iterator[str]:
    """Yield a secret in hexadecimal, and in base64 at each offset at which it can begin among other bytes,
    without the characters that also encode the neighboring bytes.
    """
    data = octets.encode("latin-1")
    yield data.hex()
    yield data.hex().upper()
    for before in range(3):
        whole = (before + len(data)) * 8 // 6
        yield b64encode(bytes(before) + data).decode()[-(-before * 8 // 6) : whole]


def _found(octets: str, wanted: Iterable[str]) -> Iterator[_Span]:
    """Yield the spans of a string that contain a wanted string in any of its decodings."""
    if not wanted:
        return
    for reading in _readings(_Reading(octets), _DEEPEST):
        alike = _alike(reading.text)
        there = [secret for secret in wanted if secret in alike]
        if there:
            yield from _places(alike, there, _origins(octets, reading.undone))


def _places(alike: str, there: Iterable[str], origins: Sequence[_Span]) -> Iterator[_Span]:
    """Yield the original span of each secret found in a decoded text."""
    for secret in there:
        at = alike.find(secret)
        while at >= 0:
            yield origins[at][0], origins[at + len(secret) - 1][1]
            at = alike.find(secret, at + 1)


def _readings(reading: _Reading, depth: int) -> Iterator[_Reading]:
    """Yield a string, and its decoding by each encoding, recursively."""
    yield reading
    for encoding in _ENCODINGS if depth else ():
        if encoding.mark not in reading.text:
            continue
        text, escapes = encoding.unit.subn(partial(_meant, encoding), reading.text)
        if escapes:
            yield from _readings(_Reading(text, (*reading.undone, encoding)), depth - 1)


def _meant(encoding: _Encoding, unit: re.Match[str]) -> str:
    return encoding.plain(unit[1])


def _origins(text: str, undone: Iterable[_Encoding]) -> Sequence[_Span]:
    """Return the original span of each decoded character.

    This is slow, so call it only for strings with a secret.
    """
    spans = [(at, at + 1) for at in range(len(text))]
    for encoding in undone:
        text, spans = _decoded(text, spans, encoding)
    return spans


def _decoded(text: str, spans: Sequence[_Span], encoding: _Encoding) -> tuple[str, list[_Span]]:
    """Return a decoded text, and the original span of each of its characters."""
    made: list[str] = []
    origins: list[_Span] = []
    at = 0
    for unit in encoding.unit.finditer(text):
        meant = encoding.plain(unit[1])
        made += (text[at : unit.start()], meant)
        origins += spans[at : unit.start()]
        origins += [(spans[unit.start()][0], spans[unit.end() - 1][1])] * len(meant)
        at = unit.end()
    return "".join((*made, text[at:])), [*origins, *spans[at:]]


def _of_percent(digits: str) -> str:
    return chr(int(digits, 16))


def _of_json(escape: str) -> str:
    return _octets(chr(int(escape[1:], 16))) if escape[0] == "u" else _SHORT.get(escape, escape)


_ENCODINGS = (
    _Encoding("%", re.compile(r"%([0-9A-Fa-f]{2})"), _of_percent),
    _Encoding("\\", re.compile(r'\\(u[0-9A-Fa-f]{4}|["\\/bfnrt])'), _of_json),
)


def _octets(text: str) -> str:
    """Return the bytes of a string as characters with the same code points, because an encoding may escape a
    single byte.
    """
    if text.isascii():
        return text
    try:
        return text.encode("utf-8", "surrogateescape").decode("latin-1")
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogatepass").decode("latin-1")


def _alike(octets: str) -> str:
    return octets.translate(_SAME)
