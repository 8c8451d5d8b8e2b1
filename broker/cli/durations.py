"""Durations as people write them: `30m`, `2 hours`, `1.5h`, `1h 30m`. Pages, the API and documents also use
this parser. It is in this package because the `stint` command can be installed on its own.
"""

from __future__ import annotations

import re
from fractions import Fraction

_FRACTION = r"(\.[0-9]{1,4})?"
# Units from the longest to the shortest, each at most once. The number of digits limits the duration.
PATTERN = (
    rf"^([0-9]{{1,4}}{_FRACTION} ?(d|days?) ?)?([0-9]{{1,5}}{_FRACTION} ?(h|hrs?|hours?) ?)?"
    rf"([0-9]{{1,6}}{_FRACTION} ?(m|mins?|minutes?) ?)?([0-9]{{1,8}}{_FRACTION} ?(s|secs?|seconds?))?$"
)
_WHOLE = re.compile(PATTERN)
_NUMBER = re.compile(rf"[0-9]{{1,8}}{_FRACTION}")
_PART = re.compile(rf"(?P<number>{_NUMBER.pattern}) ?(?P<unit>[dhms])")
_SIZES = {"d": 86400, "h": 3600, "m": 60, "s": 1}


def parse_duration(text: object) -> int:
    """Return whole seconds. Raises ValueError with valid examples for anything else, such as a number without
    a unit.
    """
    if text is None or isinstance(text, list | dict | bool):
        raise ValueError("must be a duration like 30m, 4h or 1h 30m")
    said = " ".join(str(text).lower().split())
    if _NUMBER.fullmatch(said):
        raise ValueError(f"{said} needs a unit: use {said}m for minutes or {said}h for hours")
    parts = _PART.finditer(said) if isinstance(text, str) and _WHOLE.fullmatch(said) else ()
    seconds = sum(Fraction(part["number"]) * _SIZES[part["unit"]] for part in parts)
    if seconds <= 0 or seconds != int(seconds):
        raise ValueError(f"{str(text)[:40]!r} is not a duration; use one like 30m, 4h or 1h 30m")
    return int(seconds)
