"""Keep the catalogue from changing."""

from __future__ import annotations

from django.db import connection

# Any number that no other part of the database uses for an advisory lock.
CATALOGUE = 7_400_100


def freeze_catalogue() -> bool:
    """Lock the catalogue against changes until the transaction ends. Return False if it is being changed right now.

    Without the lock, a grant could be checked against the old catalogue and start under the new one.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_xact_lock_shared(%s)", [CATALOGUE])
        (free,) = cursor.fetchone()
    return bool(free)
