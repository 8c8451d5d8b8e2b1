"""Sizes in documents and on pages: parsing, exact formatting, and display formatting. SI units."""

import re
from typing import Annotated

from pydantic import BeforeValidator, PlainSerializer, WithJsonSchema

_UNITS = {"GB": 1_000_000_000, "MB": 1_000_000, "KB": 1000, "B": 1}
_SIZE = r"[1-9][0-9]{0,8}(B|KB|MB|GB)"


def bytes_of(size: object) -> int:
    """Convert `5MB` to bytes, in SI units (1 MB is 1,000,000 bytes).

    An integer is already in bytes. Raises ValueError.
    """
    if isinstance(size, int) and not isinstance(size, bool):
        return size
    if not isinstance(size, str) or re.fullmatch(_SIZE, size) is None:
        raise ValueError("needs a size with a unit, like 500KB, 5MB or 1GB")
    unit = next(unit for unit in _UNITS if size.endswith(unit))
    return int(size.removesuffix(unit)) * _UNITS[unit]


def show_bytes(size: int) -> str:
    """Format a number of bytes exactly, in document notation: 5000000 is `5MB`."""
    unit = next(unit for unit, count in _UNITS.items() if size % count == 0)
    return f"{size // _UNITS[unit]}{unit}"


def say_bytes(size: int) -> str:
    """Format a number of bytes for display: 5000000 is `5 MB`."""
    return re.sub(r"(?<=[0-9])(?=[A-Z])", " ", show_bytes(size))


Size = Annotated[
    int,
    BeforeValidator(bytes_of),
    PlainSerializer(show_bytes, return_type=str, when_used="json"),
    WithJsonSchema({"type": "string", "pattern": f"^{_SIZE}$", "examples": ["500KB", "5MB", "1GB"]}),
]
