"""The gateway's own sweep, which ends due grants and revokes them on targets, without depending on any other
process.

The sweep sleeps until the next end is due, and notifications wake it. Any number of sweepers and workers can
run: the more gateways there are, the longer each of them sleeps.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import CancelledError
from typing import TypeVar

import structlog

from broker.kernel import clock
from broker.kernel.bulkhead import Bulkhead
from broker.kernel.errors import Overtaken, StintError, Unavailable
from sessions_app.gateways.core.database import Database, guarded
from sessions_app.gateways.core.expiry import Expiry
from sessions_app.gateways.core.spread import FEW, spread
from sessions_app.operations.grants.deprovision_grant import deprovision_grant
from sessions_app.operations.sweep.sweep import SweepReport, end_baseless, sweep
from sessions_app.queries.grants.current import to_revoke_now
from sessions_app.queries.grants.revocation import clusters_to_revoke

log = structlog.get_logger(__name__)

T = TypeVar("T")

# In seconds; the maximum for each of many gateways.
LONGEST_SLEEP, SHORTEST_SLEEP = 1.0, 0.02
SLEEP_OF_MANY = 10.0
BASELESS_EVERY, BASELESS_OF_MANY = 2.0, 30.0
HURRY = 0.25
# Seconds from a wake to the sweep, unless something is due sooner. Other processes that start or revoke the
# same grants are usually done by then, so that the work is not done twice.
GATHERS = 0.02


class Sweeper:
    """Three threads: one sweeps, one ends grants whose basis is gone, so that the sweep does not wait for
    them, and one handles deadlines on targets while the database is unavailable.
    """

    def __init__(self, name: str, database: Database, *, gateways: Callable[[], int] = lambda: 1) -> None:
        """``gateways`` returns the number of gateways.

        Grants whose basis is gone are ended in a thread of ``database``.
        """
        self._name, self._database, self._gateways = f"gateway:{name}"[:100], database, gateways
        self._wake = threading.Event()
        self._stop = threading.Event()
        self._expiry = Expiry()
        self._threads = [
            threading.Thread(target=work, name=name, daemon=True)
            for name, work in (
                ("sweeper", self._sweep_on),
                ("baseless", self._end_baseless_on),
                ("expiry", self._expire_on),
            )
        ]
        self._revokers = revokers(on_idle=self._wake.set)

    def start(self) -> None:
        """Start the threads."""
        for thread in self._threads:
            thread.start()

    def wake(self) -> None:
        """Sweep now, because an end may be due."""
        self._wake.set()

    def stop(self) -> None:
        """Start no new tasks. Unfinished tasks are left to the next sweep of any process."""
        self._stop.set()
        self._wake.set()
        self._revokers.stop()

    def _sweep_on(self) -> None:
        while not self._stop.is_set():
            self._wake.clear()
            left = _kept_alive(self._sweep, LONGEST_SLEEP)
            due = time.monotonic() + left
            if self._wake.wait(left):
                # Notifications arrive in bursts, and a worker usually handles the same ends.
                self._stop.wait(max(0.0, min(GATHERS, due - time.monotonic())))

    def _expire_on(self) -> None:
        self._expiry.keep(self._stop)

    def _end_baseless_on(self) -> None:
        while not self._stop.is_set():
            # Raised while the gateway stops.
            with contextlib.suppress(CancelledError, RuntimeError):
                if self._database.submit(_end_baseless).result():
                    self._wake.set()
            done = time.monotonic()
            # Checked each second, because the other gateways may have disappeared.
            while not self._stop.wait(LONGEST_SLEEP):
                if time.monotonic() - done >= self._shared(BASELESS_EVERY, most=BASELESS_OF_MANY):
                    break

    def _shared(self, seconds: float, *, most: float) -> float:
        many = self._gateways()
        return seconds if many <= FEW else spread(seconds, gateways=many, most=most)

    def _sweep(self) -> float:
        """Sweep once and return the seconds until the next end is due."""
        # The sweep and revocations take turns writing the record, and ends go before their confirmations.
        with self._revokers.paused():
            report, left = self._look()
            revocations = report.revocations
            hurry_until = time.monotonic() + HURRY
            # Ends that are due in quick succession go before the confirmations of earlier ends, but only
            # for a short time.
            while report.ended and left <= SHORTEST_SLEEP and time.monotonic() < hurry_until:
                self._stop.wait(left)
                report, left = self._look()
                revocations |= report.revocations
        if revocations:
            self._revokers.take(to_revoke_now(clock.now()))
        return max(SHORTEST_SLEEP, left)

    def _look(self) -> tuple[SweepReport, float]:
        """Sweep once. Return the report, and the seconds until the next end is due."""
        report = sweep(now=clock.now, name=self._name)
        due = report.next_due
        longest = self._shared(LONGEST_SLEEP, most=SLEEP_OF_MANY)
        left = longest if due is None else (due - clock.now()).total_seconds()
        left = min(longest, max(0.0, left))
        self._expiry.heard(clock.now(), again_in=left)
        return report, left


def _end_baseless() -> int:
    return _kept_alive(lambda: end_baseless(now=clock.now()), 0)


def _kept_alive(act: Callable[[], T], otherwise: T) -> T:
    """Call ``act`` once and return its result, or ``otherwise`` if it fails."""
    try:
        return guarded(act)
    except Unavailable as error:
        log.warning("sweep.waits", error=str(error))
    except Exception as error:  # this thread must never end
        log.exception("sweep.failed", error=type(error).__name__)
    return otherwise


def revokers(*, on_idle: Callable[[], None]) -> Bulkhead:
    """Return threads that revoke grants on targets, in order within each cluster.

    ``on_idle`` is called when a cluster has nothing left to revoke, because more may be due by then.
    """
    return Bulkhead(_revoke, group_of=_clusters, on_idle=on_idle)


def _clusters(grant_ids: Iterable[int]) -> dict[int, int]:
    return clusters_to_revoke(grant_ids, clock.now())


def _revoke(grant_id: int) -> None:
    try:
        guarded(deprovision_grant, grant_id=grant_id, now=clock.now)
    except Overtaken as error:
        log.info("revoke.overtaken", grant=grant_id, why=str(error))
    except StintError as error:
        log.warning("revoke.waits", grant=grant_id, error=str(error))
