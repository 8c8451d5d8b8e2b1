"""Whether the catalogue stands still."""

from __future__ import annotations

from django.db import connection

# Any number that no other part of the database uses for an advisory lock.
CATALOGUE = 7_400_100


def catalogue_stands() -> bool:
    """Keep the catalogue as it is until the transaction is over. False: it is being changed just now.

    Else a grant could be judged by the old catalogue and start under the new one.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_xact_lock_shared(%s)", [CATALOGUE])
        (free,) = cursor.fetchone()
    return bool(free)
