"""Lock the grants that are about to end, without waiting long for anybody."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable

from django.db import connection

# Whoever ends access waits for an answer. What can't be locked by then ends by an intent.
PATIENCE = dt.timedelta(milliseconds=100)
AT_ONCE = dt.timedelta(0)


def lock_to_end(*, grant_ids: Iterable[int], patience: dt.timedelta = PATIENCE) -> set[int]:
    """Lock these grants and every grant that was delegated from them, at any depth, and is not over, as far as others let go of them
    within ``patience`` altogether. Return the ids of those that are locked.

    Call it in the transaction that ends them, before anything is recorded.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT stint_lock_to_end(%s, make_interval(secs => %s))",
            [list(grant_ids), patience.total_seconds()],
        )
        (locked,) = cursor.fetchone()
    return set(locked)
