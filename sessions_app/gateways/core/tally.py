"""Allowed requests that only read. The first of each kind is recorded immediately; its repeats are counted,
and recorded together.

A request is answered only if it will be recorded: if the record can't accept entries, the gateway is closed
until it accepts the pending requests. A process that is killed loses the pending repeats, with their values:
those of about a second, or of `LATE_S` if the record is slow, and never the first request of a kind. Requests
that change something are never counted here. Each of these is recorded separately, before it is answered.
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
from sessions_app.operations.sessions.authorize_use import AnyUse
from sessions_app.operations.sessions.record_allowed_requests import AllowedRequests, record_allowed_requests
from sessions_app.policy.commands.answers import Allowed

log = structlog.get_logger(__name__)

# In seconds, from the start of one write to the start of the next.
EVERY_S = 0.5
# In seconds. While a pending request is older, the pending ones are recorded before another one is counted.
LATE_S = 1.5
# In seconds. A request whose last entry is older than this is recorded again immediately.
KNOWN_S = 600.0
# The maximum number of distinct pending requests. If it is reached, the next request first records them.
MOST = 20_000
# The maximum number of requests in one call, during which the record is locked, and other threads may have to
# wait for this one.
_AT_ONCE = 250
_Key = tuple[int, tuple[str, ...], str]
# Arguments: the requests, whether they were answered, and the current time. Returns whether each was
# recorded.
Write = Callable[[Sequence[AllowedRequests], bool, dt.datetime], Sequence[bool]]


def _write(requests: Sequence[AllowedRequests], answered: bool, now: dt.datetime) -> Sequence[bool]:
    return record_allowed_requests(requests=requests, answered=answered, now=now)


def _once(session_id: int, use: AnyUse, decision: Allowed, now: dt.datetime) -> AllowedRequests:
    return AllowedRequests(use, session_id, decision, 1, now, now)


def _key(request: AllowedRequests) -> _Key:
    return request.session_id, request.decision.argv, request.use.client


class _First:
    """A request waiting to be recorded for the first time.

    ``recorded`` is None until the outcome is known.
    """

    __slots__ = ("recorded", "request")

    def __init__(self, request: AllowedRequests) -> None:
        self.request = request
        self.recorded: bool | None = None


class Tally:
    """Counts repeated requests, and records them every second from its own thread.

    ``refusing`` means that the record accepts no entries, so no request may be allowed.
    """

    def __init__(self, write: Write = _write) -> None:
        self._write = write
        self._lock = threading.Lock()
        self._flushing = threading.Lock()
        self._counts: dict[_Key, AllowedRequests] = {}
        # When the oldest pending request was counted, or earlier; infinite if none is pending.
        self._since = float("inf")
        # Requests that must be part of the next write.
        self._first: list[_First] = []
        self._writing = threading.Lock()
        # When the record last accepted each request, oldest first.
        self._known: OrderedDict[_Key, float] = OrderedDict()
        self._thread: threading.Thread | None = None
        self._stop = threading.Event()
        self.refusing = False

    def add(self, session_id: int, use: AnyUse, decision: Allowed, now: dt.datetime) -> bool:
        """Count one request, or record it if it is not a repeat. Return whether it may pass, because its
        token was still valid.

        Raises the database's errors if the request can't be recorded, or if too many requests are pending, or
        some for too long, and can't be recorded.
        """
        key = (session_id, decision.argv, use.client)
        with self._lock:
            late = self._is_late()
            if key in self._counts and not late:
                self._count(key, use, decision, now)
                return True
            repeats = key in self._counts or self._knows(key)
            full = len(self._counts) >= MOST
        if not repeats:
            return self._write_at_once(session_id, use, decision, now)
        if late or full:
            # If this fails, the request must not pass. So the request is counted only afterward.
            self.flush()
        with self._lock:
            self._count(key, use, decision, now)
        if self._thread is None:
            self._start()
        return True

    def repeats(self, session_id: int, use: AnyUse, decision: Allowed, now: dt.datetime) -> bool:
        """Count one request that repeats an entry of the last ten minutes, without waiting for anything.

        Return False if the request is not a repeat, or if the record is behind: the request must then be
        recorded before it passes.
        """
        key = (session_id, decision.argv, use.client)
        with self._lock:
            full = len(self._counts) >= MOST and key not in self._counts
            if full or self.refusing or self._is_late() or not self._knows(key):
                return False
        self.count(session_id, use, decision, now)
        return True

    @property
    def behind(self) -> bool:
        """Whether pending requests can't be recorded, or too many are pending, or some for too long.

        If so, every request must be recorded before it is forwarded.
        """
        return self.refusing or len(self._counts) >= MOST or self._is_late()

    def _is_late(self) -> bool:
        return time.monotonic() - self._since > LATE_S

    def _knows(self, key: _Key) -> bool:
        return time.monotonic() - self._known.get(key, float("-inf")) < KNOWN_S

    def count(self, session_id: int, use: AnyUse, decision: Allowed, now: dt.datetime) -> None:
        """Count one request, known or not, without waiting for anything."""
        with self._lock:
            self._count((session_id, decision.argv, use.client), use, decision, now)
        if self._thread is None:
            self._start()

    def knows(self, session_id: int, use: AnyUse, decision: Allowed) -> bool:
        """Whether a request repeats an entry of the last ten minutes."""
        with self._lock:
            return self._knows((session_id, decision.argv, use.client))

    def learn(self, session_id: int, use: AnyUse, decision: Allowed) -> None:
        """Note that the record has just accepted a request that did not go through this tally."""
        self._learn([(session_id, decision.argv, use.client)])

    def _count(self, key: _Key, use: AnyUse, decision: Allowed, now: dt.datetime) -> None:
        found = self._counts.get(key)
        self._since = min(self._since, time.monotonic())
        if found is None:
            self._counts[key] = _once(key[0], use, decision, now)
        else:
            found.times += 1
            found.last_at = now

    def _write_at_once(self, session_id: int, use: AnyUse, decision: Allowed, now: dt.datetime) -> bool:
        """Record one request together with those that arrived during another write, so that each waits for at
        most two writes. Return whether its token was still valid.
        """
        one = _First(_once(session_id, use, decision, now))
        with self._lock:
            self._first.append(one)
        with self._writing:
            # Another write may have included this request.
            return self._write_first(one, now) if one.recorded is None else one.recorded

    def _write_first(self, mine: _First, now: dt.datetime) -> bool:
        with self._lock:
            taken = list(self._first)
        # A request that is not recorded is not answered. This request gives up, and each of the other
        # requests retries.
        gone = [mine]
        try:
            recorded = self._write([one.request for one in taken], False, now)
            for one, is_recorded in zip(taken, recorded, strict=True):
                one.recorded = is_recorded
            self._learn(_key(one.request) for one in taken if one.recorded)
            gone = taken
        finally:
            with self._lock:
                self._first = [one for one in self._first if one not in gone]
        return bool(mine.recorded)

    def _learn(self, written: Iterable[_Key]) -> None:
        moment = time.monotonic()
        with self._lock:
            for key in written:
                self._known[key] = moment
                self._known.move_to_end(key)
            while len(self._known) > MOST:
                self._known.popitem(last=False)

    def flush(self) -> None:
        """Record the pending requests.

        Raises the error of the write. Requests that were not written stay pending.
        """
        with self._flushing:
            with self._lock:
                taken, self._counts = self._counts, {}
                taken_at = time.monotonic()
            waiting = list(taken.values())
            done = 0
            try:
                for at in range(0, len(waiting), _AT_ONCE):
                    self._write(waiting[at : at + _AT_ONCE], True, clock.now())
                    done = at + _AT_ONCE
                    self._learn(map(_key, waiting[at:done]))
            finally:
                self.refusing = done < len(waiting)
                self._put_back(dict(list(taken.items())[done:]), taken_at)

    def _put_back(self, left: dict[_Key, AllowedRequests], taken_at: float) -> None:
        with self._lock:
            if not left:
                self._since = taken_at if self._counts else float("inf")
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
            # A server's worker exits without atexit handlers, and the main process without finalizers, so
            # both are used.
            atexit.register(self.stop)
            Finalize(None, self.stop, exitpriority=10)
        self._thread.start()

    def _run(self) -> None:
        rest = EVERY_S
        while not self._stop.wait(rest):
            began = time.monotonic()
            self._try()
            rest = max(0.0, began + EVERY_S - time.monotonic())
        connection.close()

    def _try(self) -> None:
        try:
            self.flush()
        except (DatabaseError, InterfaceError, StintError) as error:
            connection.close()
            log.error("requests.not_recorded", error=str(error))  # noqa: TRY400  # the traceback adds nothing

    def stop(self) -> None:
        """Record the pending requests, and end the thread."""
        self._stop.set()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(timeout=5)
        self._try()
