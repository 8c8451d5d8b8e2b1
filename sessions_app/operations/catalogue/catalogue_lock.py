"""The catalogue is changed by one transaction at a time, and grants start only while it stands still."""

from __future__ import annotations

from django.db import connection

# Any number that no other part of the database uses for an advisory lock.
_CATALOGUE = 7_400_100


def lock_catalogue() -> None:
    """Let one transaction at a time change the catalogue: others wait here, before they hold anything else."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_CATALOGUE])


def catalogue_stands() -> bool:
    """Keep the catalogue as it is until the transaction is over. False: it is being changed just now.

    Else a grant could be judged by the old catalogue and start under the new one.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_xact_lock_shared(%s)", [_CATALOGUE])
        (free,) = cursor.fetchone()
    return bool(free)
