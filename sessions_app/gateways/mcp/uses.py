"""Grants that are in use here, and their ends.

A use begins with the first message that comes with a token and is registered as a session, so that a grant is not ENDED
before what it had open here is closed. An end is learned by this process's own clock at the deadline, by NOTIFY, and by
asking each second; when the database could not be asked for ten seconds, everything is dropped. A token that is replaced, given
up or over before its grant ends its use as well.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import os
import secrets
import socket
from collections.abc import Iterator
from dataclasses import dataclass, field
from weakref import WeakValueDictionary

import structlog
from django.conf import settings

from broker.kernel import clock
from broker.kernel.errors import StintError
from sessions_app.connectors.mcp.conversation import Conversation
from sessions_app.connectors.mcp.reach import conversation_with
from sessions_app.gateways.core.clock import LoopClock
from sessions_app.gateways.core.database import Database
from sessions_app.gateways.core.listener import cancelled, listen
from sessions_app.gateways.core.reports import Reports
from sessions_app.operations.sessions.authorize_call import CallUse
from sessions_app.operations.sessions.close_session import close_session
from sessions_app.operations.sessions.open_session import open_session
from sessions_app.operations.sessions.renew_gateway import LEASE, renew_gateway
from sessions_app.operations.sessions.stop_gateway import stop_gateway
from sessions_app.queries.gateways import OpenAtGateway, open_at_gateway
from sessions_app.queries.grant_tokens import RAN_OUT, TIME_OVER, UNKNOWN, TokenNow, tokens_now

log = structlog.get_logger(__name__)

EVERY_S = 1.0
# Longer than a call may be held: a session that is closed lets what is held in it lapse.
IDLE_S = 900.0
# A call may be silent for so long before its server is given up.
CALL_SILENCE_S = 120.0
MOST_STREAMS = 8
LEAVE_S = 1.0
NOT_HELD = "the gateway does not hold it"


@dataclass(slots=True, eq=False)
class OpenUse:
    """One token in use. ``over`` is set with the reason when it or its grant is over; whatever waits for it gives up then.
    ``then`` is the reason at ``expires_at``.
    """

    grant_id: int
    ref: str
    credential_id: int
    session_id: int
    expires_at: dt.datetime
    then: str
    talk: Conversation
    over: asyncio.Event = field(default_factory=asyncio.Event)
    quiet: asyncio.Event = field(default_factory=asyncio.Event)
    why: str = ""
    busy: int = 0
    streams: int = 0
    last: float = 0.0
    begun: asyncio.Lock = field(default_factory=asyncio.Lock)
    running: dict[str | int, asyncio.Task[object]] = field(default_factory=dict)
    timer: asyncio.TimerHandle | None = None


class Uses:
    """Every use that is open in this process."""

    def __init__(self) -> None:
        self.database = Database(threads=4, name="mcp")
        # Threads of their own: what agents do can't keep an end waiting.
        self._ends = Database(threads=2, name="mcp-ends")
        self._reports = Reports(self._ends)
        # Each process by a name of its own, for it closes what is open by that name and not held here.
        self._name = f"mcp@{socket.gethostname()[:64]}:{os.getpid()}:{secrets.token_hex(4)}"
        self._open: dict[int, OpenUse] = {}
        # One for each token that is being entered with, and only as long.
        self._locks: WeakValueDictionary[int, asyncio.Lock] = WeakValueDictionary()
        self._clock: LoopClock | None = None
        self._node = 0
        self._tasks: list[asyncio.Task[None]] = []
        self._ready = asyncio.Lock()
        self._lost: asyncio.TimerHandle | None = None
        self._closing: dict[int, asyncio.Task[None]] = {}
        # Proofs of those that are being opened: their rows may be there before this process knows.
        self._opening: set[str] = set()

    # Beginning

    async def enter(self, use: CallUse, client: str) -> OpenUse:
        """Return the open use of a token, beginning one if there is none. Raises StintError."""
        await self._start()
        lock = self._locks.setdefault(use.credential_id, asyncio.Lock())
        async with lock:
            found = self._open.get(use.credential_id)
            if found is None or found.over.is_set():
                found = await self._begin(use, client)
            found.last = asyncio.get_running_loop().time()
            return found

    async def _begin(self, use: CallUse, client: str) -> OpenUse:
        proof = f"token {use.credential_id}"
        self._opening.add(proof)
        try:
            session_id = await self.database.run(
                _open_session, use=use, gateway_id=self._node, client=client, proof=proof
            )
            made = OpenUse(
                grant_id=use.grant_id, ref=use.grant_ref, credential_id=use.credential_id, session_id=session_id,
                expires_at=use.good_until, then=TIME_OVER if use.good_until == use.expires_at else RAN_OUT,
                talk=conversation_with(use.place, idle=CALL_SILENCE_S),
            )  # fmt: skip
            self._open[use.credential_id] = made
        finally:
            self._opening.discard(proof)
        made.quiet.set()
        self._watch(made)
        return made

    async def _start(self) -> None:
        async with self._ready:
            if not self._tasks or any(task.done() for task in self._tasks):
                await self._renew()
                self._tasks = [asyncio.create_task(self._listen()), asyncio.create_task(self._keep())]

    @contextlib.contextmanager
    def busy(self, use: OpenUse) -> Iterator[None]:
        """Say that something of a use is under way."""
        use.busy += 1
        use.quiet.clear()
        try:
            yield
        finally:
            use.busy -= 1
            if not use.busy:
                use.quiet.set()
            use.last = asyncio.get_running_loop().time()

    def of_grants(self, ids: list[int]) -> list[OpenUse]:
        """Return the open uses of some grants."""
        return [use for use in self._open.values() if use.grant_id in ids]

    def of_token(self, credential_id: int) -> OpenUse | None:
        """Return the open use of a token."""
        return self._open.get(credential_id)

    # Ends

    def _watch(self, use: OpenUse) -> None:
        if use.timer is not None:
            use.timer.cancel()
        left = self._clock.until(use.expires_at) if self._clock else 0.0
        use.timer = asyncio.get_running_loop().call_later(max(0.0, left), self.end, use, use.then)

    def end(self, use: OpenUse, why: str) -> None:
        """Let everything of a use give up now, and report it closed when that is done."""
        if use.over.is_set():
            return
        use.why = why
        use.over.set()
        if use.timer is not None:
            use.timer.cancel()
        if self._open.get(use.credential_id) is use:
            del self._open[use.credential_id]
        task = asyncio.create_task(self._close(use, why))
        self._closing[use.session_id] = task
        task.add_done_callback(lambda _: self._closing.pop(use.session_id, None))

    async def _close(self, use: OpenUse, why: str) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LEAVE_S):
                await use.quiet.wait()
        self._report_closed(use.session_id, why)
        try:
            async with asyncio.timeout(5):
                await use.talk.close()
        except Exception as error:  # noqa: BLE001  # the end stands, whatever the server says to it
            log.info("mcp.not_said_goodbye", error=str(error))

    def _report_closed(self, session_id: int, why: str) -> None:
        """Tell the database until it has taken it: no grant is ENDED before."""
        if self._clock is not None and session_id not in self._reports.chains():
            self._reports.send(
                session_id, close_session, session_id=session_id, reason=why, now=self._clock.now(),
                plain={"reason": "closed"},
            )  # fmt: skip

    def _compare(self, uses: list[OpenUse], found: list[OpenAtGateway]) -> None:
        """Close rows that nothing here belongs to, as when the answer to their opening was lost; and end uses without one."""
        rows = {row.session_id for row in found}
        for use in uses:
            if use.session_id not in rows:
                self.end(use, "its session was closed")
        held = {use.session_id for use in self._open.values()} | self._closing.keys()
        for row in found:
            if row.session_id not in held and row.proof not in self._opening:
                self._report_closed(row.session_id, NOT_HELD)

    async def _listen(self) -> None:
        await listen(on_grants=self._look, on_hold=_nothing, on_order=_nothing, on_gap=self._look_at_all)

    async def _look(self, grant_ids: list[int]) -> None:
        uses = self.of_grants(grant_ids)
        if uses:
            with contextlib.suppress(StintError):
                self._apply(uses, await self._ends.run(_now, ids=[use.credential_id for use in uses]))

    async def _look_at_all(self) -> None:
        await self._look([use.grant_id for use in self._open.values()])

    async def _keep(self) -> None:
        while True:
            await asyncio.sleep(EVERY_S)
            try:
                await self._renew()
            except StintError as error:
                log.warning("mcp.not_renewed", error=str(error))

    async def _renew(self) -> None:
        loop = asyncio.get_running_loop()
        began, uses = loop.time(), list(self._open.values())
        found = await self._ends.run(_renew, name=self._name, ids=[use.credential_id for use in uses])
        self._node = found.node
        if self._clock is None:
            self._clock = LoopClock(found.database, found.monotonic)
        self._clock.set(found.database, found.monotonic)
        if self._lost is not None:
            self._lost.cancel()
        # It counts from before the question: the answer may have been long on its way.
        self._lost = loop.call_at(began + LEASE.total_seconds(), self._lose)
        self._apply(uses, found.tokens)
        self._compare(uses, found.open)
        for use in list(self._open.values()):
            if not use.busy and loop.time() - use.last > IDLE_S:
                self.end(use, "nothing was asked any more")

    def _apply(self, uses: list[OpenUse], found: dict[int, TokenNow]) -> None:
        for use in uses:
            state = found.get(use.credential_id)
            if state is None or not state.live:
                self.end(use, state.why if state else UNKNOWN)
            elif state.expires_at != use.expires_at:
                use.expires_at, use.then = state.expires_at, state.why
                self._watch(use)

    def _lose(self) -> None:
        log.error("mcp.lease_lost", uses=len(self._open))
        for use in list(self._open.values()):
            self.end(use, "the gateway lost its database")

    async def stop(self) -> None:
        """End nothing, but drop what is open, and say that this gateway is gone."""
        for task in self._tasks:
            await cancelled(task)
        for use in list(self._open.values()):
            self.end(use, "gateway stopped")
        if self._closing:
            await asyncio.wait(set(self._closing.values()), timeout=2)
        await self._reports.wait(1)
        if self._node:
            with contextlib.suppress(StintError):
                await self._ends.run(_stop, name=self._name)
        self.database.stop()
        self._ends.stop()


@dataclass(frozen=True, slots=True)
class _Renewal:
    node: int
    database: dt.datetime
    monotonic: float
    tokens: dict[int, TokenNow]
    open: list[OpenAtGateway]


def _renew(*, name: str, ids: list[int]) -> _Renewal:
    reading = clock.sync()
    node = renew_gateway(name=name, version=settings.VERSION, now=reading.database)
    tokens = tokens_now(ids, reading.database) if ids else {}
    return _Renewal(node, reading.database, reading.monotonic, tokens, open_at_gateway(node))


def _now(*, ids: list[int]) -> dict[int, TokenNow]:
    return tokens_now(ids, clock.now())


def _open_session(*, use: CallUse, gateway_id: int, client: str, proof: str) -> int:
    return open_session(use=use, gateway_id=gateway_id, client_address=client, proof=proof, now=clock.now())


def _stop(*, name: str) -> int:
    return stop_gateway(name=name, now=clock.now())


def _nothing(*_: object) -> None:
    """Of no meaning at this door."""
