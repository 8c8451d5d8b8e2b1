"""Delete files that nobody can take any more."""

from __future__ import annotations

import datetime as dt

from django.db import connection

from sessions_app.queries.gateways.ordered_files import to_purge

_PURGE = f"""
DELETE FROM sessions_app_orderedfile WHERE id IN (
    SELECT f.id FROM sessions_app_orderedfile f WHERE {to_purge("%(now)s::timestamptz")}
       FOR NO KEY UPDATE SKIP LOCKED)
"""  # noqa: S608  # fixed text


def purge_files(*, now: dt.datetime) -> int:
    """Delete the files whose time is over, whose grant is not active, or whose run ended without them, and
    return their number.
    """
    with connection.cursor() as cursor:
        cursor.execute(_PURGE, {"now": now})
        return int(cursor.rowcount)
