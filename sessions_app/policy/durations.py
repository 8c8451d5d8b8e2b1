"""Durations in documents and on pages: parsing, exact formatting, and display formatting."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import BeforeValidator, PlainSerializer, WithJsonSchema

from broker.cli.durations import PATTERN, parse_duration

__all__ = ["PATTERN", "Duration", "parse_duration", "say_duration", "show_duration"]
_UNITS = {"d": 86400, "h": 3600, "m": 60, "s": 1}


def show_duration(seconds: int) -> str:
    """Format seconds exactly, in document notation: 5400 is `1h30m`."""
    parts = []
    for unit, size in _UNITS.items():
        count, seconds = divmod(seconds, size)
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts) or "0s"


def say_duration(seconds: int) -> str:
    """Format seconds for display: 5400 is `1 h 30 min`."""
    words = {"d": "d", "h": "h", "m": "min", "s": "s"}
    return " ".join(
        f"{count} {words[unit]}" for count, unit in re.findall(r"(\d+)([dhms])", show_duration(seconds))
    )


Duration = Annotated[
    int,
    BeforeValidator(parse_duration),
    PlainSerializer(show_duration, return_type=str, when_used="json"),
    WithJsonSchema(
        {"type": "string", "pattern": PATTERN, "minLength": 2, "examples": ["30m", "4h", "1h30m"]}
    ),
]
