"""Parse request bodies as strict JSON (RFC 8259, I-JSON of RFC 7493), so that no two parsers read a text
differently.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from typing import IO, Any, NoReturn

from rest_framework import exceptions
from rest_framework.parsers import BaseParser

MAX_BYTES = 256 * 1024
MAX_DEPTH = 20
_LARGEST = 2**63
_UNSTORABLE = re.compile("[\0\ud800-\udfff]")


class TooLarge(exceptions.APIException):
    """The body is larger than 256 KiB. Send less."""

    status_code = 413
    default_code = "too_large"
    default_detail = f"The body is larger than {MAX_BYTES // 1024} KiB. Send less."


class NeedsLength(exceptions.APIException):
    """The body has no ``Content-Length``. Send this header (RFC 9110 section 15.5.12)."""

    status_code = 411
    default_code = "length_required"
    default_detail = "Send a Content-Length header with the body."


class StrictJSON(BaseParser):
    """UTF-8 JSON without repeated keys, NaN, NUL or lone surrogates. Numbers have at most 64 bits, and
    nesting has at most 20 levels.
    """

    media_type = "application/json"

    def parse(
        self,
        stream: IO[bytes],
        media_type: str | None = None,
        parser_context: Mapping[str, Any] | None = None,
    ) -> Any:
        """Return the parsed value. Raises ParseError with the reason, and TooLarge."""
        raw = stream.read(MAX_BYTES + 1)
        if len(raw) > MAX_BYTES:
            raise TooLarge
        try:
            value = json.loads(
                raw.decode("utf-8"),
                object_pairs_hook=_once_each,
                parse_constant=_no_number,
                parse_float=_finite,
            )
        except RecursionError as error:
            raise exceptions.ParseError(_TOO_DEEP) from error
        except ValueError as error:
            raise exceptions.ParseError(f"The body is not JSON: {error}.") from error
        for depth, leaf in _walk(value):
            _check(depth, leaf)
        return value


_TOO_DEEP = f"The body is nested deeper than {MAX_DEPTH} levels."


def _once_each(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        repeated = next(name for name in names if names.count(name) > 1)
        raise exceptions.ParseError(f"The key {repeated!a} appears twice in one object. Send it once.")
    return found


def _no_number(text: str) -> NoReturn:
    raise exceptions.ParseError(f"{text} is not a valid JSON number.")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise exceptions.ParseError("A number is too large.")
    return number


def _walk(value: Any) -> Iterator[tuple[int, Any]]:
    """Yield every key and value with its nesting depth, without recursion."""
    waiting = [(0, value)]
    while waiting:
        depth, item = waiting.pop()
        yield depth, item
        if isinstance(item, dict):
            waiting += [(depth + 1, part) for pair in item.items() for part in pair]
        elif isinstance(item, list):
            waiting += [(depth + 1, part) for part in item]


def _check(depth: int, value: Any) -> None:
    if depth > MAX_DEPTH:
        raise exceptions.ParseError(_TOO_DEEP)
    if isinstance(value, str) and _UNSTORABLE.search(value):
        raise exceptions.ParseError("A string contains a NUL character or a lone surrogate. Remove it.")
    if isinstance(value, int) and not -_LARGEST <= value < _LARGEST:
        raise exceptions.ParseError("A number does not fit in 64 bits.")
