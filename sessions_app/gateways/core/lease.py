"""The gateway's lease from the database: renewed each second; ten seconds without it, and everything is dropped."""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import structlog

from accounts.queries import removed_keys
from broker.kernel import clock
from broker.kernel.errors import Unavailable
from sessions_app.gateways.core import metrics
from sessions_app.gateways.core.database import Database
from sessions_app.gateways.core.enders import Enders
from sessions_app.gateways.core.registry import OpenSession, Registry
from sessions_app.operations.sessions.renew_gateway import LEASE, renew_gateway
from sessions_app.queries.gateways import OpenAtGateway, open_at_gateway
from sessions_app.queries.grant_tokens import TokenNow, tokens_now
from sessions_app.queries.grants import GrantNow, grants_now

log = structlog.get_logger(__name__)

T = TypeVar("T")

EVERY = 1.0
LOST = "The gateway lost its database. Access is unavailable until it returns."


@dataclass(frozen=True, slots=True, kw_only=True)
class Renewal(Generic[T]):
    """What one renewal learned: the database's time at a moment of ``time.monotonic``, how open grants and the tokens that
    they are used with stand, what is open here by the rows, which keys were removed, and what the door asked besides.
    """

    gateway_id: int
    database_time: dt.datetime
    monotonic: float
    grants: dict[int, GrantNow]
    tokens: dict[int, TokenNow]
    open: list[OpenAtGateway]
    removed_keys: frozenset[str]
    answer: T


@dataclass(frozen=True, slots=True, kw_only=True)
class Question(Generic[T]):
    """What a door asks the database at each renewal besides. ``ask`` runs in a thread; ``take`` gets its answer."""

    ask: Callable[[], T]
    take: Callable[[T], None]


NOTHING: Question[None] = Question(ask=lambda: None, take=lambda _: None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """By which name a gateway is known, which release of Stint it runs, and its public host key where it has one."""

    name: str
    version: str
    host_key: str = ""


class Lease:
    """Renews, looks at every open grant, and drops everything when it could do neither for ten seconds."""

    def __init__(self, known: Known, *, registry: Registry, enders: Enders, question: Question[Any]) -> None:
        # A thread of its own: what holders do can't keep it waiting.
        self._database = Database(threads=1, name="lease")
        self._known = known
        self._registry, self._enders, self._question = registry, enders, question
        self._loop = asyncio.get_running_loop()
        self._deadline: asyncio.TimerHandle | None = None
        # Why nothing can be used; empty while the lease holds.
        self.lost = ""
        # Called after each renewal.
        self.on_renewed: Callable[[], None] = _nothing

    async def renew(self) -> int:
        """Renew once and return the gateway's id. Raises Unavailable."""
        began = self._loop.time()
        grants, sessions = list(self._registry.grants), self._registry.registered()
        renewal = await self._database.run(
            _renew, known=self._known, grant_ids=grants, tokens=_tokens(sessions),
            proofs={session.proof for session in self._registry.sessions()}, ask=self._question.ask,
        )  # fmt: skip
        self._registry.clock.set(renewal.database_time, renewal.monotonic)
        self._question.take(renewal.answer)
        self._enders.apply(grants, renewal.grants)
        self._enders.apply_tokens(_with_token(sessions), renewal.tokens)
        self._registry.compare(sessions, renewal.open)
        if renewal.removed_keys:
            self._registry.stop_proven_by(renewal.removed_keys, "your SSH key was removed")
        # It counts from before the question: the answer may have been long on its way.
        self._hold_until(began + LEASE.total_seconds())
        self.on_renewed()
        return renewal.gateway_id

    async def keep(self) -> None:
        """Renew for ever."""
        while True:
            await asyncio.sleep(EVERY)
            try:
                await self.renew()
            except Unavailable as error:
                log.warning("lease.not_renewed", error=str(error))

    async def look(self, grant_ids: list[int]) -> None:
        """Look at some grants at once, for they may have ended."""
        asked = [grant_id for grant_id in grant_ids if grant_id in self._registry.grants]
        if not asked:
            return
        sessions = [one for one in self._registry.registered() if one.grant.id in asked]
        grants, tokens = await self._database.run(
            _look, grant_ids=asked, tokens=_tokens(sessions), now=self._registry.clock.now()
        )
        self._enders.apply(asked, grants)
        self._enders.apply_tokens(_with_token(sessions), tokens)

    def stop(self) -> None:
        """Renew no more, and drop nothing either."""
        if self._deadline is not None:
            self._deadline.cancel()
        self._database.stop()

    def _hold_until(self, moment: float) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
        self._deadline = self._loop.call_at(moment, self._lose)
        if self.lost:
            self.lost = ""
            log.info("lease.back")

    def _lose(self) -> None:
        self.lost = LOST
        metrics.LEASE_LOST.inc()
        log.error("lease.lost", sessions=self._registry.stop_all("the gateway lost its database"))


def _with_token(sessions: Iterable[OpenSession[Any]]) -> list[OpenSession[Any]]:
    return [session for session in sessions if session.use.credential_id is not None]


def _tokens(sessions: Iterable[OpenSession[Any]]) -> list[int]:
    return [session.use.credential_id for session in sessions if session.use.credential_id is not None]


def _renew(
    *, known: Known, grant_ids: list[int], tokens: list[int], proofs: set[str], ask: Callable[[], Any]
) -> Renewal[Any]:
    reading = clock.sync()
    now = reading.database
    gateway_id = renew_gateway(name=known.name, version=known.version, host_key=known.host_key, now=now)
    answer = ask()
    grants, standing = _look(grant_ids=grant_ids, tokens=tokens, now=now)
    return Renewal(
        gateway_id=gateway_id, database_time=now, monotonic=reading.monotonic, grants=grants, tokens=standing,
        open=open_at_gateway(gateway_id), removed_keys=removed_keys(proofs) if proofs else frozenset(), answer=answer,
    )  # fmt: skip


def _look(
    *, grant_ids: list[int], tokens: list[int], now: dt.datetime
) -> tuple[dict[int, GrantNow], dict[int, TokenNow]]:
    grants = grants_now(grant_ids, now) if grant_ids else {}
    return grants, tokens_now(tokens, now) if tokens else {}


def _nothing() -> None:
    """Nobody is waiting."""
