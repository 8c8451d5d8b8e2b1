"""Deadlines and warnings of open grants, measured by this process's own monotonic clock.

The deadlines don't depend on any message.
"""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import Iterable, Mapping
from typing import Any

import structlog

from sessions_app.gateways.core import metrics
from sessions_app.gateways.core.clock import LoopClock
from sessions_app.gateways.core.registry import OpenGrant, OpenSession, Registry, User
from sessions_app.queries.grants.current import TIME_OVER, GrantNow, why_ended
from sessions_app.queries.grants.tokens import ENDS_OF_TOKENS, RAN_OUT, UNKNOWN, TokenNow

log = structlog.get_logger(__name__)

WARN_MINUTES = (15, 5, 1)
# How many seconds early a timer may fire.
_EARLY = 0.001


class Enders:
    """Ends the sessions of a grant at its deadline, and when the database reports that it has ended."""

    def __init__(self, registry: Registry, clock: LoopClock) -> None:
        self._registry = registry
        self._clock = clock
        self._loop = asyncio.get_running_loop()

    def watch(self, grant: OpenGrant) -> None:
        """Set the timers for the deadline and the warnings, replacing earlier ones."""
        grant.disarm()
        left = self._clock.until(grant.expires_at)
        grant.timers.append(self._loop.call_later(max(0.0, left), self._time_over, grant))
        for minutes in WARN_MINUTES:
            if left > minutes * 60:
                grant.timers.append(self._loop.call_later(left - minutes * 60, self._warn, grant, minutes))

    def watch_token(self, session: OpenSession[Any]) -> None:
        """Set the timer for the expiry of a session's token, replacing an earlier one."""
        session.disarm()
        if session.good_until is not None:
            left = max(0.0, self._clock.until(session.good_until))
            session.timer = self._loop.call_later(left, self._token_over, session)

    def _token_over(self, session: OpenSession[Any]) -> None:
        if session.good_until is not None and self._clock.until(session.good_until) > _EARLY:
            # The clock was set back since the timer was set, or the token was renewed.
            self.watch_token(session)
        else:
            session.close(RAN_OUT)

    def apply_tokens(self, asked: Iterable[OpenSession[Any]], found: Mapping[int, TokenNow]) -> None:
        """Apply the state of the sessions' tokens. A token that is not in the database is not valid.

        A token that ended with its grant is skipped, because the grant's end was already applied, and a
        command may still be finishing.
        """
        for session in asked:
            state = found.get(session.use.credential_id or 0)
            if state is not None and session.grant.over and state.why not in ENDS_OF_TOKENS:
                continue
            if state is None or not state.live:
                session.close(state.why if state else UNKNOWN)
                continue
            good_until = state.expires_at if state.why == RAN_OUT else None
            if good_until != session.good_until:
                session.good_until = good_until
                self.watch_token(session)

    def apply(self, asked: Iterable[int], found: Mapping[int, GrantNow]) -> None:
        """Apply the state of the requested grants. A grant that is not in the database has ended."""
        for grant_id in asked:
            grant = self._registry.grants.get(grant_id)
            if grant is None:
                continue
            state = found.get(grant_id)
            if state is None:
                self._over(grant, UNKNOWN, cut=True)
            elif not state.live:
                was_over = bool(grant.over)
                self._over(grant, why_ended(state), cut=state.cut, until=state.finish_until)
                if not was_over:
                    self._measure("revoke", state.over_at)
            else:
                grant.suspended = state.suspended
                if state.expires_at != grant.expires_at:
                    self._moved(grant, state.expires_at)

    def _moved(self, grant: OpenGrant, expires_at: dt.datetime) -> None:
        longer = expires_at > grant.expires_at
        grant.expires_at = expires_at
        self.watch(grant)
        if longer:
            text = f"{grant.ref} was extended to {expires_at:%H:%M} UTC."
            running = " A command that is already running keeps its old deadline."
            for user in grant.users():
                user.tell(text + running)

    def _time_over(self, grant: OpenGrant) -> None:
        if self._clock.until(grant.expires_at) > _EARLY:
            # The clock was set back since the timer was set.
            self.watch(grant)
            return
        self._over(grant, TIME_OVER, cut=False)
        self._measure("deadline", grant.expires_at)

    def _measure(self, cause: str, since: dt.datetime | None) -> None:
        """Measure how late the cut was.

        Some causes, such as a disabled holder, have no time to measure from.
        """
        if since is not None:
            metrics.CUT.labels(cause).observe(max(0.0, -self._clock.until(since)))

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
            # Users that were cut may not have left yet.
            self._let_finish(grant, user, until, tell=first and not cut and user.finish_by is not None)

    def _let_finish(self, grant: OpenGrant, user: User, until: dt.datetime | None, *, tell: bool) -> None:
        # `until` is the limit of the grant's longest command. This command has its own limit.
        less = dt.timedelta(seconds=max(0, grant.finish_seconds - user.finish_seconds))
        limits = [
            moment for moment in (user.finish_by, until - less if until else None) if moment is not None
        ]
        limit = min(limits, default=self._clock.now())
        grant.timers.append(self._loop.call_later(max(0.0, self._clock.until(limit)), user.stop, TIME_OVER))
        if tell:
            user.tell(f"{grant.ref} has ended. This command may finish until {limit:%H:%M:%S} UTC.")
