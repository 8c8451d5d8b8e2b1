"""The gateway's own sweep: it ends what is due and undoes it on targets, with no other process's help.

It sleeps until the next thing falls due and is woken by notifications. Any number of these and of workers may run.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import threading
import time
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import structlog

from broker.kernel import clock
from broker.kernel.errors import StintError, Unavailable
from sessions_app.gateways.ssh import metrics
from sessions_app.gateways.ssh.database import guarded
from sessions_app.models import Grant, GrantState
from sessions_app.operations.deprovision_grant import deprovision_grant
from sessions_app.operations.sweep import SweepReport, end_baseless, sweep
from sessions_app.queries.grants import next_due
from sessions_app.queries.undoing import clusters_of

log = structlog.get_logger(__name__)

T = TypeVar("T")

LONGEST_SLEEP, SHORTEST_SLEEP = 1.0, 0.02
BASELESS_EVERY = 2.0
HURRY = 0.25
# A cluster whose targets hang may not take all the threads, and one with many ends lets others have their turns.
THREADS, THREADS_PER_CLUSTER = 12, 6
TURN = 0.5


class Sweeper:
    """The thread that sweeps, and one that looks for what has lost its ground, so that no end ever waits for that."""

    def __init__(self, name: str) -> None:
        self._name = f"gateway:{name}"[:100]
        self._wake = threading.Event()
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=work, name=name, daemon=True)
            for name, work in (("sweeper", self._sweep_on), ("baseless", self._end_baseless_on))
        ]
        self._undoers = Undoers(on_idle=self._wake.set)

    def start(self) -> None:
        """Begin."""
        for thread in self._threads:
            thread.start()

    def wake(self) -> None:
        """Look now: something may have fallen due."""
        self._wake.set()

    def stop(self) -> None:
        """Begin nothing new. What is under way is left to the next sweep of any process."""
        self._stop.set()
        self._wake.set()
        self._undoers.stop()

    def _sweep_on(self) -> None:
        while not self._stop.is_set():
            self._wake.clear()
            self._wake.wait(_kept_alive(self._sweep, LONGEST_SLEEP))

    def _end_baseless_on(self) -> None:
        while not self._stop.is_set():
            if _kept_alive(lambda: end_baseless(now=clock.now()), 0):
                self._wake.set()
            self._stop.wait(BASELESS_EVERY)

    def _sweep(self) -> float:
        """Sweep once and return the seconds until the next thing falls due."""
        with self._undoers.paused():
            report, left = self._look()
            hurry_until = time.monotonic() + HURRY
            # Ends that fall due one after the other come before the proofs of the first of them, but not for long.
            while report.ended and left <= SHORTEST_SLEEP and time.monotonic() < hurry_until:
                self._stop.wait(left)
                report, left = self._look()
        if report.to_undo:
            self._undoers.take(report.to_undo)
        return max(SHORTEST_SLEEP, left)

    def _look(self) -> tuple[SweepReport, float]:
        """Sweep once, and return in how many seconds the next thing falls due."""
        report = sweep(now=clock.now, name=self._name)
        due = next_due()
        left = LONGEST_SLEEP if due is None else (due - clock.now()).total_seconds()
        return report, min(LONGEST_SLEEP, max(0.0, left))


def _kept_alive(act: Callable[[], T], otherwise: T) -> T:
    """Do what a thread is for, once, and return what comes of it, or ``otherwise``."""
    try:
        return guarded(act)
    except Unavailable as error:
        log.warning("sweep.waits", error=str(error))
    except Exception as error:  # the edge of a thread that must never die
        log.exception("sweep.failed", error=type(error).__name__)
    return otherwise


class Undoers:
    """A few threads that ask targets, each cluster's grants in the order in which they began to end."""

    def __init__(self, *, on_idle: Callable[[], None]) -> None:
        """``on_idle`` is called when a cluster has nothing left to undo, for something may have fallen due meanwhile."""
        self._on_idle = on_idle
        self._pool = ThreadPoolExecutor(max_workers=THREADS, thread_name_prefix="undo")
        self._lock = threading.Lock()
        self._taken: set[int] = set()
        self._waiting: defaultdict[int, deque[int]] = defaultdict(deque)
        self._busy: Counter[int] = Counter()
        self._stopped = False
        self._go = threading.Event()
        self._go.set()

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """Begin nothing new meanwhile: both write the record, one at a time, and ends come before their proofs."""
        self._go.clear()
        try:
            yield
        finally:
            self._go.set()

    def take(self, grant_ids: Iterable[int]) -> None:
        """Undo these as well, unless they were taken already."""
        with self._lock:
            fresh = [grant_id for grant_id in grant_ids if grant_id not in self._taken]
        if not fresh:
            return
        for grant_id, cluster_id in clusters_of(fresh).items():
            with self._lock:
                self._taken.add(grant_id)
                self._waiting[cluster_id].append(grant_id)
                if self._stopped or self._busy[cluster_id] >= THREADS_PER_CLUSTER:
                    continue
                self._busy[cluster_id] += 1
                self._pool.submit(self._work, cluster_id)

    def stop(self) -> None:
        """Begin nothing new."""
        with self._lock:
            self._stopped = True
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _work(self, cluster_id: int) -> None:
        turn_over = time.monotonic() + TURN
        while (grant_id := self._next(cluster_id)) is not None:
            self._undo(grant_id)
            if time.monotonic() >= turn_over and self._to_the_end(cluster_id):
                return
        self._on_idle()

    def _next(self, cluster_id: int) -> int | None:
        with self._lock:
            if self._waiting[cluster_id] and not self._stopped:
                return self._waiting[cluster_id].popleft()
            self._busy[cluster_id] -= 1
            return None

    def _to_the_end(self, cluster_id: int) -> bool:
        """Queue up again behind other clusters; return whether that was possible."""
        with self._lock:
            if not self._stopped:
                self._pool.submit(self._work, cluster_id)
            return not self._stopped

    def _undo(self, grant_id: int) -> None:
        self._go.wait()
        try:
            grant = guarded(deprovision_grant, grant_id=grant_id, now=clock.now)
            if grant.state == GrantState.ENDED:
                _observe(grant)
        except StintError as error:
            log.warning("undo.waits", grant=grant_id, error=str(error))
        except Exception as error:  # the edge of a thread: one unreadable row may not stop the others
            log.exception("undo.failed", grant=grant_id, error=type(error).__name__)
        finally:
            with self._lock:
                self._taken.discard(grant_id)


def _observe(grant: Grant) -> None:
    if grant.revoking_at is not None and grant.ended_at is not None:
        took: dt.timedelta = grant.ended_at - grant.revoking_at
        metrics.UNDONE.observe(max(0.0, took.total_seconds()))
