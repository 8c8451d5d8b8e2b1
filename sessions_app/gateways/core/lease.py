"""The gateway's lease from the database: renewed each second; ten seconds without it, and everything is dropped."""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass

import structlog

from accounts.queries import removed_keys
from broker.kernel import clock
from broker.kernel.errors import Unavailable
from sessions_app.gateways.core import metrics
from sessions_app.gateways.core.clock import LoopClock
from sessions_app.gateways.core.database import Database
from sessions_app.gateways.core.enders import Enders
from sessions_app.gateways.core.registry import Registry
from sessions_app.operations.sessions.renew_gateway import LEASE, renew_gateway
from sessions_app.queries.authority import active_ssh_ca, ssh_ca_private_key
from sessions_app.queries.gateways import OpenAtGateway, open_at_gateway
from sessions_app.queries.grants import GrantNow, grants_now

log = structlog.get_logger(__name__)

EVERY = 1.0
LOST = "Stint's gateway has lost its database; nothing can be used until it is back."


@dataclass(frozen=True, slots=True, kw_only=True)
class Renewal:
    """What one renewal learned: the database's time at a moment of ``time.monotonic``, how open grants stand,
    what is open here by the rows, and the signing key's fingerprint and private key when it is another than the one known.
    """

    gateway_id: int
    database_time: dt.datetime
    monotonic: float
    grants: dict[int, GrantNow]
    open: list[OpenAtGateway]
    removed_keys: frozenset[str]
    ca: tuple[str, bytes] | None


class Lease:
    """Renews, looks at every open grant, and drops everything when it could do neither for ten seconds."""

    def __init__(
        self,
        *,
        name: str,
        version: str,
        host_key: str,
        registry: Registry,
        enders: Enders,
        loop_clock: LoopClock,
        on_ca: Callable[[str, bytes], None],
        on_change: Callable[[str], None],
        on_renewed: Callable[[], None],
    ) -> None:
        """``host_key`` is the public one; ``on_ca`` gets a new signing key; ``on_change`` why the gateway is closed, empty when it opens again; ``on_renewed`` is called after each renewal."""
        # A thread of its own: what holders do can't keep it waiting.
        self._database = Database(threads=1, name="lease")
        self._name, self._version, self._host_key = name, version, host_key
        self._registry, self._enders, self._clock = registry, enders, loop_clock
        self._on_ca, self._on_change, self._on_renewed = on_ca, on_change, on_renewed
        self._loop = asyncio.get_running_loop()
        self._ca = ""
        self._lost = False
        self._deadline: asyncio.TimerHandle | None = None

    async def renew(self) -> int:
        """Renew once and return the gateway's id. Raises Unavailable."""
        began = self._loop.time()
        asked = list(self._registry.grants)
        renewal = await self._database.run(
            _renew,
            name=self._name,
            version=self._version,
            host_key=self._host_key,
            grant_ids=asked,
            proofs={session.proof for session in self._registry.sessions()},
            known_ca=self._ca,
        )
        self._clock.set(renewal.database_time, renewal.monotonic)
        if renewal.ca is not None:
            self._ca = renewal.ca[0]
            self._on_ca(*renewal.ca)
        self._enders.apply(asked, renewal.grants)
        self._registry.close_unheld(renewal.open)
        if renewal.removed_keys:
            self._registry.stop_proven_by(renewal.removed_keys, "the key that you came with was removed")
        # It counts from before the question: the answer may have been long on its way.
        self._hold_until(began + LEASE.total_seconds())
        self._on_renewed()
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
        if asked:
            self._enders.apply(asked, await self._database.run(grants_now, ids=asked, now=self._clock.now()))

    def stop(self) -> None:
        """Renew no more, and drop nothing either."""
        if self._deadline is not None:
            self._deadline.cancel()
        self._database.stop()

    def _hold_until(self, moment: float) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
        self._deadline = self._loop.call_at(moment, self._lose)
        if self._lost:
            self._lost = False
            log.info("lease.back")
            self._on_change("")

    def _lose(self) -> None:
        self._lost = True
        self._on_change(LOST)
        metrics.LEASE_LOST.inc()
        log.error("lease.lost", sessions=self._registry.stop_all("the gateway lost its database"))


def _renew(
    *, name: str, version: str, host_key: str, grant_ids: list[int], proofs: set[str], known_ca: str
) -> Renewal:
    reading = clock.sync()
    now = reading.database
    gateway_id = renew_gateway(name=name, version=version, host_key=host_key, now=now)
    key = active_ssh_ca()
    changed = key is not None and key.fingerprint != known_ca
    return Renewal(
        gateway_id=gateway_id,
        database_time=now,
        monotonic=reading.monotonic,
        grants=grants_now(grant_ids, now) if grant_ids else {},
        open=open_at_gateway(gateway_id),
        removed_keys=removed_keys(proofs) if proofs else frozenset(),
        ca=(key.fingerprint, ssh_ca_private_key(key)) if key is not None and changed else None,
    )
