"""Lock the grants that are about to end, with a short timeout."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable

from django.db import connection

# How long a caller that ends access waits for locks. Grants that can't be locked by then end through an
# intent.
PATIENCE = dt.timedelta(milliseconds=100)
AT_ONCE = dt.timedelta(0)


def lock_to_end(*, grant_ids: Iterable[int], patience: dt.timedelta = PATIENCE) -> set[int]:
    """Lock these grants and every grant delegated from them, at any depth, that is not over.

    Grants that other transactions hold locked are skipped after ``patience`` in total. Return the ids of the
    locked grants. Call this in the transaction that ends them, before anything is recorded.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT stint_lock_to_end(%s, make_interval(secs => %s))",
            [list(grant_ids), patience.total_seconds()],
        )
        (locked,) = cursor.fetchone()
    return set(locked)
