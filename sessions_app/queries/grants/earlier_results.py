"""The results of a grant's earlier calls on which decisions about later calls depend."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection

from django.db import connection

from broker.kernel.crypto import keyed_digests
from sessions_app.models import ReturnedValue
from sessions_app.policy.commands.mcp.results import Seen, Untrusted, Value

# Values that were returned longer ago no longer count.
RESULTS_LAST = dt.timedelta(hours=24)

# Holders of delegated grants may share a context, so an untrusted result affects the whole tree.
_UNTRUSTED = """
SELECT id, argv->>0 FROM sessions_app_commandrun
 WHERE untrusted AND started_at IS NOT NULL AND grant_id = ANY (stint_tree(%s)) AND id <> %s
 ORDER BY id LIMIT 1"""


def seen_by(*, grant_id: int, mark: str, asked: Collection[Value], now: dt.datetime) -> Seen:
    """Return which of the values in ``asked`` the grant's calls returned, and its first untrusted call.

    ``mark`` is the grant mark.
    """
    digests = dict(zip(digests_of(mark, asked), asked, strict=True))
    rows = ReturnedValue.objects.filter(
        grant=grant_id, digest__in=list(digests), at__gt=now - RESULTS_LAST
    ).values_list("digest", "run_id")
    returned = {digests[bytes(digest)]: run for digest, run in rows} if digests else {}
    return Seen(returned, untrusted_call(grant_id))


def untrusted_call(grant_id: int, *, but: int = 0) -> Untrusted | None:
    """Return the first call of an untrusted tool that was sent under the grant, or under a grant in its tree
    of delegations; None if there was none. The run ``but`` does not count.
    """
    with connection.cursor() as cursor:
        cursor.execute(_UNTRUSTED, [grant_id, but])
        row = cursor.fetchone()
    return Untrusted(*row) if row else None


def digests_of(mark: str, values: Collection[Value]) -> list[bytes]:
    """Return a digest of each value with its field, under a key of the grant with this mark."""
    digest = keyed_digests(f"returned values of {mark}")
    return [digest(f"{field}\0{text}".encode()) for field, text in values]
