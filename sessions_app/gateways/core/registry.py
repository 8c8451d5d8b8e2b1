"""The grants that are open at this gateway, their sessions, and the users of the sessions."""

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
from sessions_app.operations.sessions.renew_gateway import OpenAtGateway

U = TypeVar("U", bound=AnyUse)

NOT_HELD = "its gateway no longer has it"


class Ended(StintError):
    """The grant is not active: it has not started, or has ended. Request access again."""

    code = "grant_is_over"
    status = 409


class User(Protocol):
    """A user of a session, such as a channel with its command or its prompt."""

    @property
    def finish_by(self) -> dt.datetime | None:
        """The time until which the running command may continue past the grant's end; None if it is cut off
        at the end.
        """

    @property
    def finish_seconds(self) -> int:
        """How many seconds the user's command may run past the end; 0 if it is cut off at the end."""

    def tell(self, text: str) -> None:
        """Show a line to the holder."""

    def stop(self, reason: str) -> None:
        """Cut everything immediately, and show the holder the reason, which is a sentence."""


class OpenSession(Generic[U]):
    """The use of one grant by one connection or one token.

    The session is registered with its first command, and reported as closed once. ``good_until`` is when its
    token expires; None if the grant expires first.
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
        """Whether no more commands can be run in the session."""
        return bool(self._closing or self.grant.over)

    def check(self) -> None:
        """Raise Ended if the grant has ended or the session is closing."""
        if self.grant.over or self._closing:
            raise Ended(f"{self.use.grant_ref} has ended.", hint="Request new access.")

    def registering(self, work: asyncio.Future[Any]) -> None:
        """Record that the session is being registered in the database."""
        self._registry.registering[work] = self.use.grant_id

    def registered(self, work: asyncio.Future[Any]) -> None:
        """Record that the registration has finished, regardless of its outcome."""
        self._registry.registering.pop(work, None)

    def opened(self, session_id: int) -> None:
        """Record that the session is registered. If the session has already ended here, close its
        row immediately.
        """
        if self.id is None and not self._closed:
            self.id = session_id
            metrics.SESSIONS.inc()
        elif self.id != session_id:
            self._report_closed(session_id, "the database answered too late")

    def enter(self, user: User) -> None:
        """Add a user, which every end then reaches. Raises Ended."""
        self.check()
        self.users.add(user)

    def leave(self, user: User) -> None:
        """Remove a user that has finished. In a session that is ending, the last user closes it."""
        self.users.discard(user)
        self._registry.left.set()
        self._settle(self._closing or self.grant.over)

    def stop(self, reason: str, *, cut: bool) -> None:
        """Stop all users. Without ``cut``, users whose command may finish are not stopped."""
        for user in list(self.users):
            if cut or user.finish_by is None:
                user.stop(reason)
        self._settle(reason)

    def close(self, reason: str) -> None:
        """Cut what still runs, and report the session closed once all users have left."""
        self._closing = self._closing or reason
        for user in list(self.users):
            user.stop(reason)
        self._settle(reason)

    def disarm(self) -> None:
        """Cancel the timer for the session's token."""
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
            self,
            close_session,
            session_id=session_id,
            reason=reason,
            now=self._registry.clock.now(),
            plain={"reason": "closed"},
        )


class OpenGrant:
    """A grant that has sessions at this gateway."""

    def __init__(self, use: AnyUse) -> None:
        self.id = use.grant_id
        self.ref = use.grant_ref
        self.finish_seconds = use.finish_seconds
        self.expires_at = use.expires_at
        self.over = ""
        # Whether nothing new may begin. The database refuses it in any case.
        self.suspended = False
        self.sessions: set[OpenSession[Any]] = set()
        self.timers: list[asyncio.TimerHandle] = []

    def users(self) -> list[User]:
        """Return all users of the grant."""
        return [user for session in self.sessions for user in session.users]

    def disarm(self) -> None:
        """Cancel the grant's timers."""
        for timer in self.timers:
            timer.cancel()
        self.timers.clear()


class Watcher(Protocol):
    """Keeps the deadlines of open grants and of the tokens in use."""

    def watch(self, grant: OpenGrant) -> None:
        """Set a grant's timers, replacing earlier ones."""

    def watch_token(self, session: OpenSession[Any]) -> None:
        """Set the timer of a session's token, replacing an earlier one."""


class Registry:
    """All open grants by id."""

    def __init__(self, reports: Reports, clock: LoopClock) -> None:
        self.reports = reports
        self.clock = clock
        self.watcher: Watcher | None = None
        self.grants: dict[int, OpenGrant] = {}
        # Grants of sessions that are being registered: their rows may exist before this process gets the
        # result.
        self.registering: dict[asyncio.Future[Any], int] = {}
        # Set when a user has left.
        self.left = asyncio.Event()
        self._empty = asyncio.Event()
        self._empty.set()

    def open(self, session: OpenSession[Any]) -> OpenGrant:
        """Register a session and return its grant. From now on every end of the grant reaches the session.

        Raises Ended.
        """
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
        """Remove a session. With its last session, the grant is also removed."""
        grant = session.grant
        grant.sessions.discard(session)
        if not grant.sessions:
            grant.disarm()
            self.grants.pop(grant.id, None)
            if not self.grants:
                self._empty.set()

    async def wait_empty(self) -> None:
        """Wait until no session is open."""
        await self._empty.wait()

    async def wait_idle(self) -> None:
        """Wait until no session has users. Sessions may still be open."""
        while any(session.users for session in self.sessions()):
            self.left.clear()
            await self.left.wait()

    def tell_all(self, text: str) -> None:
        """Show a line to the holders of all running commands."""
        for session in self.sessions():
            for user in list(session.users):
                user.tell(text)

    def sessions(self) -> list[OpenSession[Any]]:
        """Return all open sessions."""
        return [session for grant in self.grants.values() for session in grant.sessions]

    def registered(self) -> list[OpenSession[Any]]:
        """Return the open sessions that have a row."""
        return [session for session in self.sessions() if session.id is not None]

    def compare(self, asked: Iterable[OpenSession[Any]], found: Collection[OpenAtGateway]) -> None:
        """Close the sessions in ``asked`` whose rows are closed. Also close rows without a session here,
        which exist if the result of opening a session was lost.
        """
        rows = {row.session_id for row in found}
        for session in asked:
            if session.id not in rows:
                session.close("the session was closed")
        self._close_unheld(found)

    def _close_unheld(self, found: Iterable[OpenAtGateway]) -> None:
        telling = self.reports.chains()
        held = {session.id for session in self.sessions()}
        held |= {chain.id for chain in telling if isinstance(chain, OpenSession)}
        for row in found:
            known = row.session_id in held or row.grant_id in self.registering.values()
            if not known and row.session_id not in telling:
                self.reports.send(
                    row.session_id,
                    close_session,
                    session_id=row.session_id,
                    reason=NOT_HELD,
                    now=self.clock.now(),
                    plain={},
                )

    def stop_all(self, reason: str) -> int:
        """Cut every session, and return how many there were."""
        sessions = self.sessions()
        for session in sessions:
            session.close(reason)
        return len(sessions)

    def stop_proven_by(self, fingerprints: Collection[str], reason: str) -> None:
        """Cut the sessions of holders who authenticated with one of these keys."""
        for session in self.sessions():
            if session.proof in fingerprints:
                session.close(reason)
