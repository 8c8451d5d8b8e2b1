"""Strict JSON parsing for request bodies, which refuses anything that two parsers could read differently.

Source: RFC 8259; RFC 7493 (I-JSON) for what is refused in addition.
"""

import json
import math
import re
from collections.abc import Mapping, Sequence
from decimal import Decimal, InvalidOperation

Json = None | bool | int | float | str | Sequence["Json"] | Mapping[str, "Json"]

MAX_BODY = 1024 * 1024
MAX_DEPTH = 20
MOST_VALUES = 50_000
# Also matches unclosed strings, so that each closing quote is searched for only once.
_STRING = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+"?', re.DOTALL)


class BodyRefused(ValueError):
    """A request body that is not a single plain JSON value. The message gives the reason."""


def read_body(text: str | bytes) -> Json:
    """Parse a JSON body. Raises BodyRefused for repeated keys, NaN, numbers that would lose
    digits, lone surrogates, excessive depth, excessive size and more than MOST_VALUES values.
    """
    if len(text) > MAX_BODY:
        raise BodyRefused(f"the body is larger than {MAX_BODY // 1024} KiB")
    try:
        said = text.decode() if isinstance(text, bytes) else text
        _check_count(said)
        data: Json = json.loads(
            said, object_pairs_hook=_once, parse_constant=_no_constant, parse_float=_finite
        )
        check_depth(data)
        said.encode()
        json.dumps(data, ensure_ascii=False).encode()
    except BodyRefused:
        raise
    except (ValueError, RecursionError):
        raise BodyRefused("the body is not JSON in UTF-8") from None
    return data


def _check_count(text: str) -> None:
    """Refuse a body with too many values before parsing it. Every value except the first follows a comma,
    colon or opening bracket.
    """
    plain = _STRING.sub("", text)
    if sum(plain.count(mark) for mark in ",[{") > MOST_VALUES:
        raise BodyRefused(f"the body has more than {MOST_VALUES:,} values")


def canonical_body(data: Json) -> str:
    """Return the canonical text of a body: sorted keys, no spaces."""
    return json.dumps(data, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def check_depth(data: Json, depth: int = 0) -> None:
    """Raise BodyRefused for a value nested deeper than MAX_DEPTH."""
    if depth > MAX_DEPTH:
        raise BodyRefused(f"the body is nested deeper than {MAX_DEPTH} levels")
    if isinstance(data, Mapping):
        for value in data.values():
            check_depth(value, depth + 1)
    elif isinstance(data, Sequence) and not isinstance(data, str):
        for value in data:
            check_depth(value, depth + 1)


def _once(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise BodyRefused("the body repeats a key")
    return found


def _no_constant(name: str) -> Json:
    raise BodyRefused(f"{name} is not JSON")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise BodyRefused(f"the number {text[:20]} is too large")
    # The body is serialized again before it is forwarded, so a number must survive the round trip.
    if not _survives(text, number):
        raise BodyRefused(
            f"the number {text[:20]} has more digits than most parsers preserve: send it as text"
        )
    return number


def _survives(text: str, number: float) -> bool:
    try:
        return Decimal(text) == Decimal(repr(number))
    except InvalidOperation:
        # The exponent is too large to compute with.
        return False
