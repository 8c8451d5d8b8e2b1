"""Durations as people write them: `30m`, `4h`, `1h30m`, `2d`."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import BeforeValidator, PlainSerializer, WithJsonSchema

_UNITS = {"d": 86400, "h": 3600, "m": 60, "s": 1}
_PATTERN = r"^([0-9]{1,4}d)?([0-9]{1,5}h)?([0-9]{1,6}m)?([0-9]{1,8}s)?$"
_DURATION = re.compile(_PATTERN)


def parse_duration(text: object) -> int:
    """Return seconds. Raises ValueError for anything but a positive duration such as `30m` or `1h30m`."""
    if isinstance(text, int) and not isinstance(text, bool) and text > 0:
        return text
    match = _DURATION.fullmatch(text) if isinstance(text, str) and text else None
    seconds = sum(int(part[:-1]) * _UNITS[part[-1]] for part in match.groups() if part) if match else 0
    if seconds <= 0:
        raise ValueError(f"{text!r} is not a duration; write it like 30m, 4h or 1h30m")
    return seconds


def show_duration(seconds: int) -> str:
    """Return seconds as people write them, exactly: 5400 is `1h30m`."""
    parts = []
    for unit, size in _UNITS.items():
        count, seconds = divmod(seconds, size)
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts) or "0s"


def say_duration(seconds: int) -> str:
    """Return seconds as pages speak: 5400 is `1 h 30 min`."""
    words = {"d": "d", "h": "h", "m": "min", "s": "s"}
    return " ".join(
        f"{count} {words[unit]}" for count, unit in re.findall(r"(\d+)([dhms])", show_duration(seconds))
    )


Duration = Annotated[
    int,
    BeforeValidator(parse_duration),
    PlainSerializer(show_duration, return_type=str, when_used="json"),
    WithJsonSchema(
        {"type": "string", "pattern": _PATTERN, "minLength": 2, "examples": ["30m", "4h", "1h30m"]}
    ),
]
