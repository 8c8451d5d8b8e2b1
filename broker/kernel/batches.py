"""Deletes many rows in short transactions."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet


def in_rounds(rows: QuerySet[Any], batch: int, rounds: int) -> int:
    """Delete the first rows, at most ``batch`` in each of at most ``rounds`` transactions, and return the
    number of deleted rows.
    """
    deleted = 0
    for _ in range(rounds):
        found = list(rows.values_list("pk", flat=True)[:batch])
        count, _ = rows.model._default_manager.filter(pk__in=found).delete()  # noqa: SLF001  # public in Django
        deleted += count
        if len(found) < batch:
            break
    return deleted
