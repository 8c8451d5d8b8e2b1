"""Long lists, a page at a time, by key: the hundredth page costs what the first does."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

from django.db import models

Row = TypeVar("Row", bound=models.Model)
SIZE = 50
LARGEST = 2**62


@dataclass(frozen=True, slots=True)
class Page(Generic[Row]):
    """Some rows, the key before which the next ones stand (None: these are the last), and whether newer ones exist."""

    rows: list[Row]
    before: int | None
    newer: bool


def page_of(queryset: models.QuerySet[Row], *, key: str, before: str, size: int = SIZE) -> Page[Row]:
    """Return the newest rows whose ``key`` is below ``before``; text that is no number means from the start."""
    limit = int(before) if before.isdecimal() and len(before) < 19 else None
    if limit is not None:
        queryset = queryset.filter(**{f"{key}__lt": min(limit, LARGEST)})
    rows = list(queryset.order_by(f"-{key}")[: size + 1])
    more = len(rows) > size
    rows = rows[:size]
    return Page(rows, int(getattr(rows[-1], key)) if more else None, limit is not None)
