"""Tokens that are in use here, each with the conversation that it has with its server.

A use begins with the first message that comes with a token and is a session of the gateway's, which ends it.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import functools
import os
import secrets
import socket
from collections.abc import Iterator
from weakref import WeakValueDictionary

import structlog
from django.conf import settings

from broker.kernel import clock
from broker.kernel.errors import Unavailable
from sessions_app.connectors.mcp.conversation import Conversation
from sessions_app.connectors.mcp.reach import conversation_with
from sessions_app.gateways.core.database import Database
from sessions_app.gateways.core.lease import Known
from sessions_app.gateways.core.node import Node
from sessions_app.gateways.core.registry import OpenSession
from sessions_app.operations.sessions.open_session import open_session
from sessions_app.operations.sessions.proofs.token import CallUse

log = structlog.get_logger(__name__)

# Longer than a call may be held: a session that is closed lets what is held in it lapse.
IDLE_S = 900.0
# A call may be silent for so long before its server is given up.
CALL_SILENCE_S = 120.0
MOST_STREAMS = 8
LEAVE_S, GOODBYE_S = 1.0, 5.0
STOPPING, FAILED = "gateway stopped", "the gateway failed"


class OpenUse:
    """One token in use. ``over`` is set with the reason when it or its grant is over; whatever waits for it gives up then."""

    finish_by: dt.datetime | None = None
    finish_seconds = 0

    def __init__(self, session: OpenSession[CallUse], use: CallUse) -> None:
        self.session = session
        self.credential_id = use.credential_id
        self.talk: Conversation = conversation_with(use.place, idle=CALL_SILENCE_S)
        self.over = asyncio.Event()
        self.why = ""
        self.busy = 0
        self.streams = 0
        self.last = 0.0
        self.begun = asyncio.Lock()
        self.running: dict[str | int, asyncio.Task[object]] = {}
        self._quiet = asyncio.Event()
        self._quiet.set()
        self._closing: asyncio.Task[None] | None = None

    @property
    def session_id(self) -> int:
        """The id of its row."""
        if self.session.id is None:
            raise AssertionError
        return self.session.id

    def tell(self, text: str) -> None:
        """There is no place in the protocol for words to whoever holds the token."""

    def stop(self, reason: str) -> None:
        """Let everything that waits for it give up now; the session is closed when that is done."""
        if not self.over.is_set():
            self.why = reason
            self.over.set()
            self._closing = asyncio.create_task(self._close())

    @contextlib.contextmanager
    def at_work(self) -> Iterator[None]:
        """Say that something of it is under way."""
        self.busy += 1
        self._quiet.clear()
        try:
            yield
        finally:
            self.busy -= 1
            if not self.busy:
                self._quiet.set()
            self.touch()

    def touch(self) -> None:
        """Note that it was used just now."""
        self.last = asyncio.get_running_loop().time()

    async def _close(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LEAVE_S):
                await self._quiet.wait()
        self.session.leave(self)
        try:
            async with asyncio.timeout(GOODBYE_S):
                await self.talk.close()
        except Exception as error:  # noqa: BLE001  # the end stands, whatever the server says to it
            log.info("mcp.not_said_goodbye", error=str(error))


class Uses:
    """Every token that is in use in this process."""

    def __init__(self) -> None:
        self.database = Database(threads=4, name="mcp")
        # Of its own: what agents do can't keep an end waiting.
        self._ends = Database(threads=1, name="mcp-ends")
        # Each process by a name of its own, for it closes what is open by that name and not held here.
        name = f"mcp@{socket.gethostname()[:64]}:{os.getpid()}:{secrets.token_hex(4)}"
        self._known = Known(name=name, version=settings.VERSION)
        self._open: dict[int, OpenUse] = {}
        # One for each token that is being entered with, and only as long.
        self._locks: WeakValueDictionary[int, asyncio.Lock] = WeakValueDictionary()
        self._node: Node | None = None
        self._starting = asyncio.Lock()
        self._leaving: asyncio.Task[None] | None = None

    async def enter(self, use: CallUse, client: str) -> OpenUse:
        """Return the open use of a token, beginning one if there is none. Raises StintError."""
        node = await self._running()
        lock = self._locks.setdefault(use.credential_id, asyncio.Lock())
        async with lock:
            found = self._open.get(use.credential_id)
            if found is None or found.over.is_set():
                found = self._open[use.credential_id] = await self._begin(node, use, client)
            found.touch()
            return found

    def of_token(self, credential_id: int) -> OpenUse | None:
        """Return the open use of a token."""
        return self._open.get(credential_id)

    async def stop(self) -> None:
        """End nothing, but drop what is open, and say that this gateway is gone."""
        if self._node is not None:
            await _leave(self._node, STOPPING)
        self.database.stop()
        self._ends.stop()

    async def _begin(self, node: Node, use: CallUse, client: str) -> OpenUse:
        proof = f"token {use.credential_id}"
        runs_out = use.good_until if use.good_until < use.expires_at else None
        session = OpenSession(node.registry, use, client_address=client, proof=proof, good_until=runs_out)
        opening = asyncio.ensure_future(
            self.database.run(_open_session, use=use, gateway_id=node.id, client=client, proof=proof)
        )
        session.registering(opening)
        opening.add_done_callback(functools.partial(_opened, session))
        try:
            await asyncio.shield(opening)
        except BaseException:
            session.close("it did not begin")
            raise
        made = OpenUse(session, use)
        session.enter(made)
        return made

    async def _running(self) -> Node:
        """Return this process as a gateway, beginning it with the first use. Raises Unavailable."""
        async with self._starting:
            if self._node is None:
                if self._leaving is not None:
                    # It closes all that is open by their common name.
                    await asyncio.wait([self._leaving])
                node = await Node.begin(self._known, database=self._ends)
                node.lease.on_renewed = self._drop_unused
                node.on_failed = functools.partial(self._fail, node)
                node.start()
                self._node = node
            if self._node.lease.lost:
                raise Unavailable(self._node.lease.lost, hint="Try again in a moment.")
            return self._node

    def _drop_unused(self) -> None:
        now = asyncio.get_running_loop().time()
        for use in list(self._open.values()):
            if use.over.is_set():
                del self._open[use.credential_id]
            elif not use.busy and now - use.last > IDLE_S:
                use.session.close("nothing was asked any more")

    def _fail(self, node: Node) -> None:
        """What holds no lease, or hears nothing, may not go on as if it did; the next use begins anew."""
        if self._node is node:
            self._node = None
            self._leaving = asyncio.create_task(_leave(node, FAILED))


async def _leave(node: Node, reason: str) -> None:
    await node.close(reason)
    await node.leave()


def _opened(session: OpenSession[CallUse], opening: asyncio.Future[int]) -> None:
    """Take in the answer, also when nobody waits for it any more."""
    session.registered(opening)
    if not opening.cancelled() and opening.exception() is None:
        session.opened(opening.result())


def _open_session(*, use: CallUse, gateway_id: int, client: str, proof: str) -> int:
    return open_session(use=use, gateway_id=gateway_id, client_address=client, proof=proof, now=clock.now())
