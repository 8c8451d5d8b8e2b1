"""The row counts of several lists, from one statement."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.core.exceptions import EmptyResultSet
from django.db import connection
from django.db.models import QuerySet


def counted(lists: Iterable[QuerySet[Any]]) -> list[int]:
    """Return the number of rows in each list."""
    parts = [_count(found) for found in lists]
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT {', '.join(sql for sql, _ in parts)}", [value for _, values in parts for value in values]
        )
        return [int(count) for count in cursor.fetchone()]


def _count(found: QuerySet[Any]) -> tuple[str, tuple[Any, ...]]:
    try:
        sql, values = found.order_by().values("pk").query.sql_with_params()
    except EmptyResultSet:
        return "0", ()
    return f"(SELECT count(*) FROM ({sql}) found)", values  # noqa: S608  # compiled by Django, values apart
