"""Deadlines on targets that people reach directly, while Stint's database is unavailable.

Nothing can be revoked without the database. But a gateway keeps a list of access that is about to end, and
targets store the deadlines. If the database has not responded for a while, the gateway makes the
targets end overdue access.
"""

from __future__ import annotations

import datetime as dt
import math
import threading
import time
from dataclasses import dataclass
from functools import partial

import structlog

from broker.kernel.keyed_threads import KeyedThreads
from broker.kernel.statement import Statement, text
from sessions_app.connectors.base import ConnectorError, Expirer, LeaseSpec
from sessions_app.models import Lease
from sessions_app.operations.targets.connect import connector_for, lease_of

log = structlog.get_logger(__name__)

# Access is in the list from this long before its deadline until this long after it.
AHEAD = dt.timedelta(seconds=30)
# Seconds: how late the database may respond, the interval of checks, and the pause before a target is
# retried.
LATE, EVERY, AGAIN = 1.0, 0.1, 1.0
PLACES = 8
# How long the list is used before it is read from the database again.
FRESH = dt.timedelta(seconds=1)

_SOON = Statement(
    "stint_expiring",
    """
SELECT string_agg(id::text, ' ') FROM sessions_app_lease
 WHERE gone_at IS NULL AND made_until > $1::timestamptz AND made_until <= $2::timestamptz
""",
)


@dataclass(slots=True)
class _Due:
    """Access on one target. ``at`` is the time of the next attempt, by the monotonic clock."""

    connector: Expirer
    lease: LeaseSpec
    at: float


class Expiry:
    """Keeps a list of access that ends soon, and ends it if the database is unavailable by then."""

    def __init__(self) -> None:
        self._due: dict[tuple[int, dt.datetime | None], _Due] = {}
        self._expected = math.inf
        self._read_at = dt.datetime.min.replace(tzinfo=dt.UTC)
        self._threads = KeyedThreads(PLACES)

    def heard(self, now: dt.datetime, *, again_in: float) -> None:
        """Note that the database responded, and read which access ends soon, unless that is already known.

        The next response is due in ``again_in`` seconds.
        """
        # A clock that was set back doesn't make the list fresh.
        if not dt.timedelta() <= now - self._read_at < FRESH:
            self._read(now)
        self._expected = time.monotonic() + again_in

    def _read(self, now: dt.datetime) -> None:
        found = text(_SOON([str(at).encode() for at in (now - AHEAD, now + AHEAD)]).get_value(0, 0)).split()
        rows = Lease.objects.filter(pk__in=found).select_related("target", "grant__cluster") if found else ()
        self._due = {
            key: due for row in rows if (due := self._known(row, now, key := (row.pk, row.made_until)))
        }
        self._read_at = now

    def keep(self, stop: threading.Event) -> None:
        """End overdue access while the database is unavailable, until ``stop`` is set."""
        while not stop.wait(EVERY):
            if time.monotonic() - self._expected >= LATE:
                self.expire()

    def expire(self) -> None:
        """End overdue access on its targets, each in a separate thread.

        Each target is tried again later, because a login may have been in progress.
        """
        now = time.monotonic()
        for key, due in list(self._due.items()):
            if due.at <= now and self._threads.start(key, partial(_expire, due)):
                due.at = now + AGAIN

    def _known(self, row: Lease, now: dt.datetime, key: tuple[int, dt.datetime | None]) -> _Due | None:
        if key in self._due or row.made_until is None:
            return self._due.get(key)
        try:
            connector = connector_for(row.grant.cluster.kind)
            if not isinstance(connector, Expirer):
                return None
            at = time.monotonic() + (row.made_until - now).total_seconds()
            return _Due(connector, lease_of(row, row.grant), at)
        except ConnectorError as error:
            log.warning("expiry.unknown", grant=row.grant.ref, error=error.message)
            return None


def _expire(due: _Due) -> None:
    try:
        if count := due.connector.expire(due.lease):
            log.info(
                "expiry.ended", grant=due.lease.grant_ref, target=due.lease.place.target.name, ended=count
            )
    except ConnectorError as error:
        log.warning("expiry.failed", grant=due.lease.grant_ref, error=error.message)
