"""Let the row of a grant follow an end that did not wait for it."""

from __future__ import annotations

import datetime as dt

from django.db import transaction

from sessions_app.operations.grants.end_grant import settle
from sessions_app.operations.grants.lock_to_end import AT_ONCE, lock_to_end


def settle_end(*, grant_id: int, now: dt.datetime) -> bool:
    """Carry out the ends that were intended for a grant and those delegated from it (`EndIntent`), if nobody else has them locked, and
    return whether the grant was free. Safe to call any number of times.
    """
    with transaction.atomic():
        locked = lock_to_end(grant_ids=[grant_id], patience=AT_ONCE)
        settle(locked, now)
    return grant_id in locked
