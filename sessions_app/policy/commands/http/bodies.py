"""JSON bodies, read strictly: what one reader could take for something else than another is refused.

Source: RFC 8259; RFC 7493 (I-JSON) for what is refused beyond it.
"""

import json
import math
from collections.abc import Mapping, Sequence

Json = None | bool | int | float | str | Sequence["Json"] | Mapping[str, "Json"]

MAX_BODY = 256 * 1024
MAX_DEPTH = 20


class BodyRefused(ValueError):
    """A body that is not one plain JSON value. The message says why."""


def read_body(text: str | bytes) -> Json:
    """The JSON value of a body. Raises BodyRefused for repeated keys, NaN, halves of characters, depth and size."""
    if len(text) > MAX_BODY:
        raise BodyRefused(f"the body is larger than {MAX_BODY // 1024} KiB")
    try:
        said = text.decode() if isinstance(text, bytes) else text
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


def canonical_body(data: Json) -> str:
    """The one text of a body: keys sorted, no spaces."""
    return json.dumps(data, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def check_depth(data: Json, depth: int = 0) -> None:
    """Raises BodyRefused for a value nested deeper than MAX_DEPTH."""
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
        raise BodyRefused("a key of the body is repeated")
    return found


def _no_constant(name: str) -> Json:
    raise BodyRefused(f"{name} is not JSON")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise BodyRefused(f"the number {text[:20]} is too large")
    return number
