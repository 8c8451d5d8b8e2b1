"""Prevent changes to the catalog."""

from __future__ import annotations

from django.db import connection

# An arbitrary number that no other advisory lock in the database uses.
CATALOG = 7_400_100


def freeze_catalog() -> bool:
    """Lock the catalog against changes until the transaction ends. Return False if a change is in progress.

    Without the lock, a grant could be checked against the old catalog and start under the new one.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_xact_lock_shared(%s)", [CATALOG])
        (free,) = cursor.fetchone()
    return bool(free)
