"""Keyset pagination, where every page costs the same."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from django.db import models

Row = TypeVar("Row", bound=models.Model)
SIZE = 50
LARGEST = 2**62


@dataclass(frozen=True, slots=True)
class Page(Generic[Row]):
    """A page of rows. ``before`` is the key where the next page starts (None for the last page); ``newer``:
    newer rows exist.
    """

    rows: list[Row]
    before: int | None
    newer: bool


def page_of(queryset: models.QuerySet[Row], *, key: str, before: str, size: int = SIZE) -> Page[Row]:
    """Return the newest rows whose ``key`` is below ``before``. If ``before`` isn't a number, start at the
    newest.
    """
    limit = _limit(before)
    if limit is not None:
        queryset = queryset.filter(**{f"{key}__lt": min(limit, LARGEST)})
    return _page(list(queryset.order_by(f"-{key}")[: size + 1]), key, size, newer=limit is not None)


def page_from(read: Callable[[int], list[Row]], *, key: str, before: str, size: int = SIZE) -> Page[Row]:
    """Return a page as `page_of` does. ``read`` returns the ``size`` + 1 newest rows whose key is below a
    number.
    """
    limit = _limit(before)
    rows = read(LARGEST if limit is None else min(limit, LARGEST))
    return _page(rows, key, size, newer=limit is not None)


def _limit(before: str) -> int | None:
    return int(before) if before.isdecimal() and len(before) < 19 else None


def _page(rows: list[Row], key: str, size: int, *, newer: bool) -> Page[Row]:
    more = len(rows) > size
    rows = rows[:size]
    return Page(rows, int(getattr(rows[-1], key)) if more else None, newer)
