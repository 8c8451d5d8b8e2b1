"""What is open at this gateway right now: grants, their sessions, and what runs in them."""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import Collection, Iterable
from typing import Any, Generic, Protocol, TypeVar

from broker.kernel.errors import StintError
from sessions_app.gateways.core import metrics
from sessions_app.gateways.core.clock import LoopClock
from sessions_app.gateways.core.reports import Reports
from sessions_app.operations.sessions.authorize_use import AnyUse
from sessions_app.operations.sessions.close_session import close_session
from sessions_app.queries.gateways import OpenAtGateway

U = TypeVar("U", bound=AnyUse)

NOT_HELD = "not held by the gateway"


class Ended(StintError):
    """The grant ended between two steps."""

    code = "grant_is_over"
    status = 409


class User(Protocol):
    """Something that uses a session: a channel with its command or its prompt."""

    @property
    def finish_by(self) -> dt.datetime | None:
        """Until when the command that runs in it may go on past the grant's end; None: it is cut at the end."""

    @property
    def finish_seconds(self) -> int:
        """For how long after the end its command may go on at most; 0: it is cut."""

    def tell(self, text: str) -> None:
        """Show the holder a line."""

    def stop(self, reason: str) -> None:
        """Cut everything at once, with the reason in a sentence for the holder."""


class OpenSession(Generic[U]):
    """One connection's, or one token's, use of one grant. It is registered with its first command, and reported closed once.

    ``good_until`` is when the token that it rests on runs out, None where that is no sooner than its grant.
    """

    def __init__(
        self,
        registry: Registry,
        use: U,
        *,
        client_address: str,
        proof: str,
        good_until: dt.datetime | None = None,
    ) -> None:
        self.use = use
        self.client_address = client_address
        self.proof = proof
        self.good_until = good_until
        self.timer: asyncio.TimerHandle | None = None
        self.id: int | None = None
        self.lock = asyncio.Lock()
        self.users: set[User] = set()
        self.grant = registry.open(self)
        self._registry = registry
        self._closing = ""
        self._closed = False

    @property
    def closed(self) -> bool:
        """Whether nothing can be run in it any more."""
        return bool(self._closing or self.grant.over)

    def check(self) -> None:
        """Raise Ended when the grant is over or the session closes."""
        if self.grant.over or self._closing:
            raise Ended(f"{self.use.grant_ref} has ended.", hint="Request new access.")

    def registering(self, work: asyncio.Future[Any]) -> None:
        """Note that the session is on its way into the database, or its answer on the way back."""
        self._registry.registering[work] = self.use.grant_id

    def registered(self, work: asyncio.Future[Any]) -> None:
        """Note that this is over, whatever came of it."""
        self._registry.registering.pop(work, None)

    def opened(self, session_id: int) -> None:
        """Note that the session is registered; a row that nothing here will close is closed at once."""
        if self.id is None and not self._closed:
            self.id = session_id
            metrics.SESSIONS.inc()
        elif self.id != session_id:
            self._report_closed(session_id, "the database answered too late")

    def enter(self, user: User) -> None:
        """Put a user in, so that every end reaches it. Raises Ended."""
        self.check()
        self.users.add(user)

    def leave(self, user: User) -> None:
        """Take out a user of whom nothing runs any more; the last one of a session that ends closes it."""
        self.users.discard(user)
        self._settle(self._closing or self.grant.over)

    def stop(self, reason: str, *, cut: bool) -> None:
        """Stop all users, or all but those whose command may finish."""
        for user in list(self.users):
            if cut or user.finish_by is None:
                user.stop(reason)
        self._settle(reason)

    def close(self, reason: str) -> None:
        """Cut what still runs; report the session closed once nothing does."""
        self._closing = self._closing or reason
        for user in list(self.users):
            user.stop(reason)
        self._settle(reason)

    def disarm(self) -> None:
        """Cancel the timer of its token."""
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None

    def _settle(self, reason: str) -> None:
        if not reason or self.users or self._closed:
            return
        self._closed = True
        self.disarm()
        self._registry.closed(self)
        if self.id is not None:
            metrics.SESSIONS.dec()
            self._report_closed(self.id, reason)

    def _report_closed(self, session_id: int, reason: str) -> None:
        self._registry.reports.send(
            self, close_session, session_id=session_id, reason=reason, now=self._registry.clock.now(),
            plain={"reason": "closed"},
        )  # fmt: skip


class OpenGrant:
    """A grant that has sessions here."""

    def __init__(self, use: AnyUse) -> None:
        self.id = use.grant_id
        self.ref = use.grant_ref
        self.finish_seconds = use.finish_seconds
        self.expires_at = use.expires_at
        self.over = ""
        self.sessions: set[OpenSession[Any]] = set()
        self.timers: list[asyncio.TimerHandle] = []

    def users(self) -> list[User]:
        """Return everything that uses it."""
        return [user for session in self.sessions for user in session.users]

    def disarm(self) -> None:
        """Cancel its timers."""
        for timer in self.timers:
            timer.cancel()
        self.timers.clear()


class Watcher(Protocol):
    """Who keeps the deadlines of open grants and of the tokens they are used with."""

    def watch(self, grant: OpenGrant) -> None:
        """Arm a grant's timers, in place of those it had."""

    def watch_token(self, session: OpenSession[Any]) -> None:
        """Arm the timer of a session's token, in place of the one it had."""


class Registry:
    """All open grants by their ids."""

    def __init__(self, reports: Reports, clock: LoopClock) -> None:
        self.reports = reports
        self.clock = clock
        self.watcher: Watcher | None = None
        self.grants: dict[int, OpenGrant] = {}
        # Grants of sessions that are being registered: their rows may be there before this process knows.
        self.registering: dict[asyncio.Future[Any], int] = {}
        self._empty = asyncio.Event()
        self._empty.set()

    def open(self, session: OpenSession[Any]) -> OpenGrant:
        """Register a session. From now on every end of the grant finds it. Raises Ended."""
        use = session.use
        grant = self.grants.get(use.grant_id)
        if grant is None:
            grant = self.grants[use.grant_id] = OpenGrant(use)
            self._empty.clear()
        elif grant.over:
            raise Ended(f"{use.grant_ref} has ended.", hint="Request new access.")
        grant.sessions.add(session)
        if self.watcher is not None and (len(grant.sessions) == 1 or use.expires_at != grant.expires_at):
            grant.expires_at = use.expires_at
            self.watcher.watch(grant)
        if self.watcher is not None:
            self.watcher.watch_token(session)
        return grant

    def closed(self, session: OpenSession[Any]) -> None:
        """Take a session out, and its grant with the last one."""
        grant = session.grant
        grant.sessions.discard(session)
        if not grant.sessions:
            grant.disarm()
            self.grants.pop(grant.id, None)
            if not self.grants:
                self._empty.set()

    async def wait_empty(self) -> None:
        """Return when no session is open any more."""
        await self._empty.wait()

    def sessions(self) -> list[OpenSession[Any]]:
        """Return all open sessions."""
        return [session for grant in self.grants.values() for session in grant.sessions]

    def registered(self) -> list[OpenSession[Any]]:
        """Return the open sessions that have a row."""
        return [session for session in self.sessions() if session.id is not None]

    def compare(self, asked: Iterable[OpenSession[Any]], found: Collection[OpenAtGateway]) -> None:
        """Close those of the sessions asked for whose rows are closed, and rows that nothing here belongs to, as when the
        answer to their opening was lost.
        """
        rows = {row.session_id for row in found}
        for session in asked:
            if session.id not in rows:
                session.close("its session was closed")
        self._close_unheld(found)

    def _close_unheld(self, found: Iterable[OpenAtGateway]) -> None:
        telling = self.reports.chains()
        held = {session.id for session in self.sessions()}
        held |= {chain.id for chain in telling if isinstance(chain, OpenSession)}
        for row in found:
            known = row.session_id in held or row.grant_id in self.registering.values()
            if not known and row.session_id not in telling:
                self.reports.send(
                    row.session_id, close_session, session_id=row.session_id, reason=NOT_HELD, now=self.clock.now(), plain={}
                )  # fmt: skip

    def stop_all(self, reason: str) -> int:
        """Cut every session, and return how many there were."""
        sessions = self.sessions()
        for session in sessions:
            session.close(reason)
        return len(sessions)

    def stop_proven_by(self, fingerprints: Collection[str], reason: str) -> None:
        """Cut the sessions of holders who proved themselves with one of these keys."""
        for session in self.sessions():
            if session.proof in fingerprints:
                session.close(reason)
