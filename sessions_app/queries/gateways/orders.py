"""Orders, for the gateways that run them."""

from __future__ import annotations

import datetime as dt

from broker.kernel.postgresql.rows import ask

_WAITING = """
SELECT o.id FROM sessions_app_commandorder o
  JOIN sessions_app_grant g ON g.id = o.grant_id JOIN sessions_app_cluster c ON c.id = g.cluster_id
 WHERE o.claimed_at IS NULL AND o.lapses_at > %s AND c.kind = %s ORDER BY o.id LIMIT 100
"""


def orders_to_claim(kind: str, now: dt.datetime) -> list[int]:
    """Return the ids of orders on clusters of one kind that are unclaimed and have not expired,
    oldest first.
    """
    return [pk for (pk,) in ask(_WAITING, now, kind)]
