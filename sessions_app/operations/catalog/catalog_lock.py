"""The lock that serializes changes to the catalog and keeps grants from starting during a change."""

from __future__ import annotations

from django.db import connection

from sessions_app.queries.catalog.freeze import CATALOG


def lock_catalog() -> None:
    """Take the catalog lock for this transaction.

    Transactions must take this lock before any other lock.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [CATALOG])
