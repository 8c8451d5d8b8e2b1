"""The gateway's lease from the database, renewed each second.

After ten seconds without a renewal, everything is cut.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import structlog
from django.db import connection

from accounts.queries import removed_keys
from broker.kernel import clock
from broker.kernel.errors import Unavailable
from sessions_app.gateways.core import metrics
from sessions_app.gateways.core.cutting import Enders
from sessions_app.gateways.core.database import Database
from sessions_app.gateways.core.registry import OpenSession, Registry
from sessions_app.operations.sessions.renew_gateway import LEASE, Renewed, renew_gateway
from sessions_app.queries.grants.current import GrantNow, grants_now
from sessions_app.queries.grants.tokens import TokenNow, tokens_now

log = structlog.get_logger(__name__)

T = TypeVar("T")

EVERY = 1.0
LOST = "The gateway lost its database. Access is unavailable until it returns."


@dataclass(frozen=True, slots=True, kw_only=True)
class Renewal:
    """The result of one renewal.

    ``reading`` is the database's time. ``grants`` and ``tokens`` are the states of open grants and of the
    tokens in use. ``removed_keys`` has the keys that were removed. ``answers`` has the results of the
    endpoints' own queries.
    """

    renewed: Renewed
    reading: clock.Reading
    grants: dict[int, GrantNow]
    tokens: dict[int, TokenNow]
    removed_keys: frozenset[str]
    answers: list[Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Question(Generic[T]):
    """A query that an endpoint adds to each renewal.

    ``ask`` gets the renewal's result, and runs in the lease's thread; ``take`` gets the result of ``ask``.
    """

    ask: Callable[[Renewed], T]
    take: Callable[[T], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """The name of a gateway, its release of Stint, and the keys by which clients recognize it.

    ``host_key`` is the SSH host key; ``tls_fingerprint`` is the fingerprint of the certificate that clients
    of web gateways trust. Each is empty if the gateway has no such endpoint.
    """

    name: str
    version: str
    host_key: str = ""
    tls_fingerprint: str = ""


class GatewayLease:
    """Renews the lease, checks every open grant, and cuts everything after ten seconds without a renewal."""

    def __init__(self, known: Known, *, registry: Registry, enders: Enders) -> None:
        # Its own thread, so that holders can't delay it.
        self._database = Database(threads=1, name="lease")
        # The data that the next renewal publishes. Endpoints add their own part.
        self.known = known
        # Queries that the endpoints add to each renewal.
        self.questions: list[Question[Any]] = []
        self._registry, self._enders = registry, enders
        self._loop = asyncio.get_running_loop()
        self._deadline: asyncio.TimerHandle | None = None
        # The number of gateways, including this one.
        self.gateways = 1
        # Called when another gateway has disappeared, because its tasks must be taken over.
        self.on_fewer: Callable[[], None] = lambda: None
        # Why no grant can be used; empty while the lease is valid.
        self.lost = ""
        # Called after each renewal.
        self.on_renewed: list[Callable[[], None]] = []

    async def renew(self) -> int:
        """Renew once and return the gateway's id. Raises Unavailable."""
        began = self._loop.time()
        grants, sessions = list(self._registry.grants), self._registry.registered()
        questions = list(self.questions)
        renewal = await self._database.run(
            _renew,
            known=self.known,
            grant_ids=grants,
            tokens=_tokens(sessions),
            proofs={session.proof for session in self._registry.sessions()},
            asks=[question.ask for question in questions],
        )
        before, self.gateways = self.gateways, renewal.renewed.gateways
        if self.gateways < before:
            self.on_fewer()
        self._registry.clock.set(renewal.reading.database, renewal.reading.monotonic)
        for question, answer in zip(questions, renewal.answers, strict=True):
            question.take(answer)
        self._enders.apply(grants, renewal.grants)
        self._enders.apply_tokens(_with_token(sessions), renewal.tokens)
        self._registry.compare(sessions, renewal.renewed.open)
        if renewal.removed_keys:
            self._registry.stop_proven_by(renewal.removed_keys, "your SSH key was removed")
        # The lease counts from the start of the query, because the response may have taken long.
        self._hold_until(began + LEASE.total_seconds())
        for call in self.on_renewed:
            call()
        return renewal.renewed.id

    async def keep(self) -> None:
        """Renew the lease forever: once a second, or immediately if the last renewal took longer."""
        left = EVERY
        while True:
            await asyncio.sleep(left)
            began = self._loop.time()
            try:
                await self.renew()
            except Unavailable as error:
                log.warning("lease.not_renewed", error=str(error))
            left = max(0.0, began + EVERY - self._loop.time())

    async def look(self, grant_ids: list[int]) -> None:
        """Check these grants immediately, because they may have ended."""
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
        """Stop renewing, without cutting anything."""
        if self._deadline is not None:
            self._deadline.cancel()
        self._database.stop()

    def _hold_until(self, moment: float) -> None:
        if self._deadline is not None and moment <= self._loop.time():
            # The response came too late to extend the lease. The previous deadline still applies, or has
            # passed.
            return
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
    *,
    known: Known,
    grant_ids: list[int],
    tokens: list[int],
    proofs: set[str],
    asks: list[Callable[[Renewed], Any]],
) -> Renewal:
    # The time to open a connection is not part of the delay.
    connection.ensure_connection()
    now, before = clock.now(), time.monotonic()
    renewed = renew_gateway(
        name=known.name,
        version=known.version,
        host_key=known.host_key,
        tls_fingerprint=known.tls_fingerprint,
        now=now,
    )
    reading = clock.heard(renewed.at, before=before)
    answers = [ask(renewed) for ask in asks]
    grants, standing = _look(grant_ids=grant_ids, tokens=tokens, now=reading.database)
    return Renewal(
        renewed=renewed,
        reading=reading,
        grants=grants,
        tokens=standing,
        answers=answers,
        removed_keys=removed_keys(proofs) if proofs else frozenset(),
    )


def _look(
    *, grant_ids: list[int], tokens: list[int], now: dt.datetime
) -> tuple[dict[int, GrantNow], dict[int, TokenNow]]:
    grants = grants_now(grant_ids, now) if grant_ids else {}
    return grants, tokens_now(tokens, now) if tokens else {}
