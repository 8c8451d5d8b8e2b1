"""Deadlines and warnings of open grants, kept by this process's own monotonic clock: no message has to arrive."""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import Iterable, Mapping

import structlog

from sessions_app.gateways.core import metrics
from sessions_app.gateways.core.clock import LoopClock
from sessions_app.gateways.core.registry import OpenGrant, Registry, User
from sessions_app.queries.grants import GrantNow

log = structlog.get_logger(__name__)

WARN_MINUTES = (15, 5, 1)
TIME_OVER = "its time was over"
REASONS = {
    "expired": TIME_OVER,
    "released": "its holder ended it",
    "revoked": "it was revoked",
    "workflow_closed": "the work it was for is closed",
    "policy_changed": "what it rests on changed",
    "identity_disabled": "its holder was disabled",
    "cluster_removed": "its cluster was removed",
    "deviation": "too much else was tried with it",
    "silent": "its heartbeat stopped",
    "parent_ended": "what it is a part of ended",
    "restored": "an older backup of Stint was restored",
}


class Enders:
    """Ends what a grant has open when its time is over, and when the database says that it is over."""

    def __init__(self, registry: Registry, clock: LoopClock) -> None:
        self._registry = registry
        self._clock = clock
        self._loop = asyncio.get_running_loop()

    def watch(self, grant: OpenGrant) -> None:
        """Arm the deadline and the warnings, in place of those armed before."""
        grant.disarm()
        left = self._clock.until(grant.expires_at)
        grant.timers.append(self._loop.call_later(max(0.0, left), self._time_over, grant))
        for minutes in WARN_MINUTES:
            if left > minutes * 60:
                grant.timers.append(self._loop.call_later(left - minutes * 60, self._warn, grant, minutes))

    def apply(self, asked: Iterable[int], found: Mapping[int, GrantNow]) -> None:
        """Take in how the grants asked for stand. One that the database does not know is over."""
        began = self._loop.time()
        for grant_id in asked:
            grant = self._registry.grants.get(grant_id)
            if grant is None:
                continue
            state = found.get(grant_id)
            if state is None:
                self._over(grant, "it is not known any more", cut=True)
            elif not state.live:
                was_over = bool(grant.over)
                self._over(grant, _why(state), cut=state.cut, until=state.finish_until)
                if not was_over:
                    metrics.CUT.labels("heard").observe(self._loop.time() - began)
            elif state.expires_at != grant.expires_at:
                self._moved(grant, state.expires_at)

    def _moved(self, grant: OpenGrant, expires_at: dt.datetime) -> None:
        longer = expires_at > grant.expires_at
        grant.expires_at = expires_at
        self.watch(grant)
        if longer:
            text = f"{grant.ref} was extended to {expires_at:%H:%M} UTC."
            running = " A command that runs already keeps its old end."
            for user in grant.users():
                user.tell(text + running)

    def _time_over(self, grant: OpenGrant) -> None:
        late = -self._clock.until(grant.expires_at)
        if late < -0.001:
            # The clock was set back since the timer was armed.
            self.watch(grant)
            return
        self._over(grant, TIME_OVER, cut=False)
        metrics.CUT.labels("deadline").observe(max(0.0, late))

    def _warn(self, grant: OpenGrant, minutes: int) -> None:
        unit = "minute" if minutes == 1 else "minutes"
        for user in grant.users():
            user.tell(f"{grant.ref} ends in {minutes} {unit}.")

    def _over(self, grant: OpenGrant, reason: str, *, cut: bool, until: dt.datetime | None = None) -> None:
        first = not grant.over
        if first:
            grant.over = reason
            log.info("grant.over", grant=grant.ref, reason=reason, sessions=len(grant.sessions))
        for session in list(grant.sessions):
            session.stop(reason, cut=cut)
        grant.disarm()
        for user in grant.users():
            # Those that were cut are still on their way out.
            self._let_finish(grant, user, until, tell=first and not cut and user.finish_by is not None)

    def _let_finish(self, grant: OpenGrant, user: User, until: dt.datetime | None, *, tell: bool) -> None:
        # `until` allows what the longest of the grant's commands may; this one has its own allowance.
        less = dt.timedelta(seconds=max(0, grant.finish_seconds - user.finish_seconds))
        limits = [
            moment for moment in (user.finish_by, until - less if until else None) if moment is not None
        ]
        limit = min(limits, default=self._clock.now())
        grant.timers.append(self._loop.call_later(max(0.0, self._clock.until(limit)), user.stop, TIME_OVER))
        if tell:
            user.tell(f"{grant.ref} is over. This command may finish until {limit:%H:%M:%S} UTC.")


def _why(state: GrantNow) -> str:
    return REASONS.get(state.end_reason, TIME_OVER if not state.cut else "it is over")
