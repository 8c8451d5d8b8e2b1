"""Heartbeats that keep a grant alive while a command runs, and detect its end."""

from __future__ import annotations

import datetime as dt
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from .errors import CliError, NotSignedIn, Unreachable
from .screen import moment, plain, spoken
from .shell import Shell

# Seconds between two polls of a grant that needs no heartbeat, and until a failed heartbeat is retried.
_LOOK, _AGAIN = 3.0, 1.0
_SLOWEST = 60.0
# A grant ends after this many missed heartbeats.
_MISSED = 3


class Heartbeat:
    """A thread that sends heartbeats until it is stopped, and sets ``over`` and ``why`` when the
    grant ends.
    """

    def __init__(self, shell: Shell, grant: Mapping[str, Any], on_over: Callable[[], None]) -> None:
        self._shell, self._ref, self._on_over = shell, str(grant["ref"]), on_over
        self._every: float | None = grant.get("heartbeat_seconds")
        self._until = moment(grant.get("expires_at"))
        self._heard = time.monotonic()
        self._stop = threading.Event()
        self._wanted, self._first = True, _LOOK
        self.over, self.why = False, ""
        self._thread = threading.Thread(target=self._send_on, name="heartbeat", daemon=True)

    def start(self) -> bool:
        """Send one heartbeat, and continue in the background. Return whether the grant needs heartbeats.

        A grant that needs no heartbeats is only polled. Raises CliError if the grant has already ended.
        """
        self._first = self._once()
        if self.over:
            raise CliError(f"{self._ref} has ended: {self.why}", code="grant_is_over")
        self._thread.start()
        return self._wanted

    def stop(self) -> None:
        """Stop sending heartbeats."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(5)

    def _send_on(self) -> None:
        wait = self._first
        while not self._stop.wait(wait):
            wait = self._once()
            if self.over:
                self._on_over()
                return

    def _once(self) -> float:
        """Send one heartbeat, or poll once. Return the seconds until the next call."""
        try:
            return self._send() if self._wanted else self._look()
        except NotSignedIn as error:
            # The grant continues until its own end, even if the token has expired.
            if self._is_past():
                self._end(error.message)
        except Unreachable:
            pass
        except CliError:
            # The grant needs no heartbeats or has ended, as its state shows.
            return self._doubted()
        return _AGAIN

    def _send(self) -> float:
        began = time.monotonic()
        said = self._shell.wire.post(f"/grants/{self._ref}/heartbeat")
        self._heard = began
        before = moment(said.get("heartbeat_due_at"))
        if before is None:
            self._wanted = False
            return _LOOK
        if self._every is not None:
            # Don't use this machine's clock, which may be wrong.
            return max(self._every, _AGAIN)
        # A third of the remaining time, so that two heartbeats can get lost.
        left = (before - dt.datetime.now(dt.UTC)).total_seconds() - (time.monotonic() - began)
        return min(max(left / 3, _AGAIN), _SLOWEST)

    def _doubted(self) -> float:
        try:
            wait = self._look()
        except CliError:
            return _AGAIN
        if not self.over:
            self._wanted = False
        return wait

    def _look(self) -> float:
        row = self._shell.wire.get(f"/grants/{self._ref}")
        self._until = moment(row.get("expires_at")) or self._until
        if row["state"] != "active":
            self._end(plain(row["end_note"]) or spoken(row["end_reason"] or row["state"]))
        return _LOOK

    def _is_past(self) -> bool:
        """Whether the grant must be over: its deadline has passed, or the last confirmed heartbeat is too
        old.
        """
        if self._until is not None and self._until <= dt.datetime.now(dt.UTC):
            return True
        silence = time.monotonic() - self._heard
        return self._wanted and self._every is not None and silence > _MISSED * self._every

    def _end(self, why: str) -> None:
        self.over, self.why = True, why
