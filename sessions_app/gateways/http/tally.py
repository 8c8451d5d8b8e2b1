"""Allowed requests that only read: the first of its kind is written down at once, what repeats it is counted for a moment.

Nothing is answered that will not be written down: when the record refuses, the door is shut until it takes what waits. A
process that is killed takes with it how often it repeated, in its last second, what the record has already.
What changes something is never counted here; it is written down alone, before it is answered.
"""

from __future__ import annotations

import atexit
import datetime as dt
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from multiprocessing.util import Finalize

import structlog
from django.db import DatabaseError, InterfaceError, connection

from broker.kernel import clock
from broker.kernel.errors import StintError
from sessions_app.operations.sessions.proofs.proxy import RequestUse
from sessions_app.operations.sessions.record_allowed_requests import AllowedRequests, record_allowed_requests
from sessions_app.policy.commands.answers import Allowed

log = structlog.get_logger(__name__)

EVERY_S = 0.9
# A request that the record had for the last time longer ago is written down at once again.
KNOWN_S = 600.0
# Different requests that wait at most; the next is written down by whoever makes it.
MOST = 20_000
# So many in one call, for which the record is locked.
_AT_ONCE = 1000
_Key = tuple[int, tuple[str, ...]]
Write = Callable[[Sequence[AllowedRequests], dt.datetime], None]


def _write(requests: Sequence[AllowedRequests], now: dt.datetime) -> None:
    record_allowed_requests(requests=requests, now=now)


class _Count:
    """One request, and how often it was made."""

    __slots__ = ("decision", "first_at", "last_at", "times", "use")

    def __init__(self, use: RequestUse, decision: Allowed, now: dt.datetime) -> None:
        self.use, self.decision = use, decision
        self.times, self.first_at, self.last_at = 1, now, now


class Tally:
    """Counts repeated requests, and writes them down every second from a thread of its own. ``refusing``: the record does not
    take them, so that nothing may be allowed.
    """

    def __init__(self, write: Write = _write) -> None:
        self._write = write
        self._lock = threading.Lock()
        self._flushing = threading.Lock()
        self._counts: dict[_Key, _Count] = {}
        # Those that are to be written down at once, by who writes next.
        self._first: dict[int, AllowedRequests] = {}
        self._writing = threading.Lock()
        # When the record took each of them last, the longest ago first.
        self._known: OrderedDict[_Key, float] = OrderedDict()
        self._thread: threading.Thread | None = None
        self._stop = threading.Event()
        self.refusing = False

    def add(self, session_id: int, use: RequestUse, decision: Allowed, now: dt.datetime) -> None:
        """Count one request, or write it down if it repeats none. Raises the database's errors when that can't be done, or
        when too many wait and can't be written down.
        """
        key = (session_id, decision.argv)
        with self._lock:
            found = self._counts.get(key)
            if found is not None:
                found.times += 1
                found.last_at = now
                return
            repeats = time.monotonic() - self._known.get(key, float("-inf")) < KNOWN_S
            if repeats:
                self._counts[key] = _Count(use, decision, now)
            full = len(self._counts) >= MOST
        if not repeats:
            self._write_at_once(session_id, use, decision, now)
            return
        if self._thread is None:
            self._start()
        if full:
            self.flush()

    def _write_at_once(self, session_id: int, use: RequestUse, decision: Allowed, now: dt.datetime) -> None:
        """Write one down along with those that came while another was written, so that all of them wait for two writes at most."""
        one = AllowedRequests(
            use=use, session_id=session_id, decision=decision, times=1, first_at=now, last_at=now
        )
        with self._lock:
            self._first[id(one)] = one
        with self._writing:
            with self._lock:
                if id(one) not in self._first:
                    return
                taken = dict(self._first)
            # What is not taken is not answered: this one waits no more, and each of the others tries for itself.
            gone = {id(one)}
            try:
                self._write(list(taken.values()), now)
                self._learn(taken.values())
                gone |= taken.keys()
            finally:
                with self._lock:
                    for key in gone:
                        del self._first[key]

    def _learn(self, written: Iterable[AllowedRequests]) -> None:
        moment = time.monotonic()
        with self._lock:
            for one in written:
                key = (one.session_id, one.decision.argv)
                self._known[key] = moment
                self._known.move_to_end(key)
            while len(self._known) > MOST:
                self._known.popitem(last=False)

    def flush(self) -> None:
        """Write down what waits. Raises what the writing raised; what was not written waits on."""
        with self._flushing:
            with self._lock:
                taken, self._counts = self._counts, {}
            waiting = [
                AllowedRequests(
                    use=one.use, session_id=session_id, decision=one.decision, times=one.times,
                    first_at=one.first_at, last_at=one.last_at,
                )
                for (session_id, _), one in taken.items()
            ]  # fmt: skip
            done = 0
            try:
                for at in range(0, len(waiting), _AT_ONCE):
                    self._write(waiting[at : at + _AT_ONCE], clock.now())
                    done = at + _AT_ONCE
                    self._learn(waiting[at:done])
            finally:
                self.refusing = done < len(waiting)
                self._put_back(dict(list(taken.items())[done:]))

    def _put_back(self, left: dict[_Key, _Count]) -> None:
        with self._lock:
            for key, one in left.items():
                newer = self._counts.get(key)
                if newer is None:
                    self._counts[key] = one
                else:
                    newer.times += one.times
                    newer.first_at = one.first_at

    def _start(self) -> None:
        with self._lock:
            if self._thread is not None:
                return
            self._thread = threading.Thread(target=self._run, name="tally", daemon=True)
            # A worker of a server ends without atexit, and the process itself without the other.
            atexit.register(self.stop)
            Finalize(None, self.stop, exitpriority=10)
        self._thread.start()

    def _run(self) -> None:
        while not self._stop.wait(EVERY_S):
            self._try()
        connection.close()

    def _try(self) -> None:
        try:
            self.flush()
        except (DatabaseError, InterfaceError, StintError) as error:
            connection.close()
            log.error("requests.not_recorded", error=str(error))  # noqa: TRY400  # the traceback says no more

    def stop(self) -> None:
        """Write down what waits, and end the thread."""
        self._stop.set()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(timeout=5)
        self._try()
