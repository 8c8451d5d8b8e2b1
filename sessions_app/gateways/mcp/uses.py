"""Tokens in use in this process, each with its conversation with its server.

A use begins with the first message that carries a token. It is a session of the gateway, and the gateway ends
it.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import functools
import os
import secrets
import socket
from collections.abc import Coroutine, Iterator
from typing import Any, TypeVar
from weakref import WeakValueDictionary

import structlog
from django.conf import settings

from broker.kernel.errors import Unavailable
from sessions_app.connectors.mcp.conversation import Conversation
from sessions_app.connectors.mcp.reach import conversation_with
from sessions_app.gateways.core.database import Database
from sessions_app.gateways.core.known import Admissions
from sessions_app.gateways.core.lease import Known
from sessions_app.gateways.core.node import Node
from sessions_app.gateways.core.opening import open_by_token
from sessions_app.gateways.core.registry import OpenSession
from sessions_app.operations.sessions.proofs.token import CallUse

log = structlog.get_logger(__name__)
T = TypeVar("T")

# Seconds. Longer than a call may be held: closing a session expires its held calls.
IDLE_S = 900.0
# Seconds that a server may be silent during a call before Stint gives up.
CALL_SILENCE_S = 120.0
MOST_STREAMS = 8
LEAVE_S, GOODBYE_S = 1.0, 5.0
STOPPING, FAILED = "gateway stopped", "the gateway failed"


class OpenUse:
    """One token in use. Once it or its grant has ended, ``over`` is set, with the reason in ``why``.

    Everything that waits for the use then gives up, and its tasks are canceled.
    """

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
        self._works: set[asyncio.Task[Any]] = set()
        self._quiet = asyncio.Event()
        self._quiet.set()
        self._closing: asyncio.Task[None] | None = None

    @property
    def session_id(self) -> int:
        """The id of the session's row."""
        if self.session.id is None:
            raise AssertionError
        return self.session.id

    def tell(self, text: str) -> None:
        """Do nothing: the protocol has no way to message the token's holder."""

    def stop(self, reason: str) -> None:
        """Cancel its tasks and wake everything that waits for it, immediately.

        The session is closed once they have ended.
        """
        if not self.over.is_set():
            self.why = reason
            self.over.set()
            # Cancel the tasks here, not in the code that awaits them, because that code may also be
            # waiting for a client.
            for work in self._works:
                work.cancel()
            self._closing = asyncio.create_task(self._close())

    def begin(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Start a task that sends requests to the server. ``stop`` cancels it."""
        task = asyncio.create_task(work)
        self._works.add(task)
        task.add_done_callback(self._works.discard)
        if self.over.is_set():
            task.cancel()
        return task

    @contextlib.contextmanager
    def at_work(self) -> Iterator[None]:
        """Mark the use as busy while the block runs."""
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
        """Record that the token was just used."""
        self.last = asyncio.get_running_loop().time()

    async def _close(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LEAVE_S):
                await self._quiet.wait()
        self.session.leave(self)
        try:
            async with asyncio.timeout(GOODBYE_S):
                await self.talk.close()
        except Exception as error:  # noqa: BLE001  # the use has ended, whatever the server answers
            log.info("mcp.not_said_goodbye", error=str(error))


class Uses:
    """All tokens in use in this process."""

    def __init__(self) -> None:
        self.database = Database(threads=4, name="mcp")
        self.admissions = Admissions(self.database)
        # A separate thread, so that agents can't delay an end.
        self._ends = Database(threads=1, name="mcp-ends")
        # Each process has its own name, because a node closes the sessions under its name that it does not
        # hold.
        name = f"mcp@{socket.gethostname()[:64]}:{os.getpid()}:{secrets.token_hex(4)}"
        self._known = Known(name=name, version=settings.VERSION)
        self._open: dict[int, OpenUse] = {}
        # One lock for each token while its use is being opened.
        self._locks: WeakValueDictionary[int, asyncio.Lock] = WeakValueDictionary()
        self._node: Node | None = None
        self._starting = asyncio.Lock()
        self._leaving: asyncio.Task[None] | None = None

    async def enter(self, use: CallUse, client: str) -> OpenUse:
        """Return the open use of a token, starting one if there is none. Raises StintError."""
        node = await self._running()
        lock = self._locks.setdefault(use.credential_id, asyncio.Lock())
        async with lock:
            found = self._open.get(use.credential_id)
            if found is None or found.over.is_set():
                found = self._open[use.credential_id] = await self._begin(node, use, client)
            found.touch()
            return found

    def of_token(self, credential_id: int) -> OpenUse | None:
        """Return the open use of a token; None if there is none."""
        return self._open.get(credential_id)

    async def stop(self) -> None:
        """Cut all uses without ending a grant, and record that this gateway has stopped."""
        if self._node is not None:
            await _leave(self._node, STOPPING)
        self.database.stop()
        self._ends.stop()

    async def _begin(self, node: Node, use: CallUse, client: str) -> OpenUse:
        session = await open_by_token(node, self.database, use, client=client, good_until=use.good_until)
        made = OpenUse(session, use)
        session.enter(made)
        return made

    async def _running(self) -> Node:
        """Return this process as a gateway, started by the first use. Raises Unavailable."""
        async with self._starting:
            if self._node is None:
                if self._leaving is not None:
                    # The old node closes every open session under the name that both nodes share.
                    await asyncio.wait([self._leaving])
                node = await Node.begin(self._known, database=self._ends)
                node.lease.on_renewed.append(self._drop_unused)
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
                use.session.close("idle")

    def _fail(self, node: Node) -> None:
        """Drop a node without a lease or without notifications: it must not continue.

        The next use starts a new one.
        """
        if self._node is node:
            self._node = None
            self._leaving = asyncio.create_task(_leave(node, FAILED))


async def _leave(node: Node, reason: str) -> None:
    await node.close(reason)
    await node.leave()
