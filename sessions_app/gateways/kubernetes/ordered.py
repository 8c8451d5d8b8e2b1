"""Carry out an order from a page, without a connected client: run a program in a container, or send one
request and print its response.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from aiohttp import ClientError, ClientWebSocketResponse

from sessions_app.connectors.kubernetes.remote import STDERR, Container, Exec
from sessions_app.gateways.core.aside import aside
from sessions_app.gateways.core.body_budget import BodyBudget
from sessions_app.gateways.core.client import NotReached
from sessions_app.gateways.core.direct import Answer, media_in
from sessions_app.gateways.core.live import Live
from sessions_app.gateways.core.outcomes import Report
from sessions_app.gateways.core.recording import Recorder
from sessions_app.gateways.kubernetes.bodies import Body
from sessions_app.gateways.kubernetes.execution import Watch, killed
from sessions_app.gateways.kubernetes.forwarding import send_bound
from sessions_app.gateways.kubernetes.outcomes import UNSAID, unrecorded
from sessions_app.gateways.kubernetes.printing import MOST, printed
from sessions_app.gateways.kubernetes.streams import PROTOCOLS, outcome_of
from sessions_app.gateways.kubernetes.upstream import Upstream
from sessions_app.operations.sessions.proofs.kubernetes import AtCluster
from sessions_app.policy.commands.kubernetes.checks import Logs
from sessions_app.policy.commands.kubernetes.sending import Sending

# Bytes to read of the response to a log request that failed, which contains the reason.
_MOST_OF_A_FAULT = 64 * 1024
# Bytes recorded in one iteration of the event loop.
_PIECE = 64 * 1024
_TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"


class Program:
    """A program in a container, without input. ``sent`` means that the API server may have started it."""

    def __init__(
        self,
        upstream: Upstream,
        use: AtCluster,
        where: Container,
        recorder: Recorder,
        *,
        argv: Sequence[str],
        watch: Watch | None,
        agent: str,
    ) -> None:
        """``watch`` terminates the program at the end; without it, ``argv`` runs unwrapped."""
        self._upstream, self._use, self._where = upstream, use, where
        self._argv, self._watch, self._agent = argv, watch, agent
        self._live = Live(recorder, self._unrecorded)
        self._socket: ClientWebSocketResponse | None = None
        self._closing: asyncio.Future[bool] | None = None
        self.sent = False
        self.size: int | None = None

    async def run(self) -> Report:
        """Run the program to its end, and return how it ended. Raises NotMade, NotReached, and connection
        errors.
        """
        argv = await self._watch.words() if self._watch is not None else self._argv
        self.sent = True
        opened = self._upstream.websocket(
            self._use, self._where.path(argv, stdin=False), {"User-Agent": self._agent}, PROTOCOLS
        )
        try:
            async with opened as socket:
                self._socket = socket
                return await self._output(Exec(socket))
        except NotReached as error:
            self.sent = error.sent
            raise
        finally:
            self._live.stop()

    async def _output(self, program: Exec) -> Report:
        try:
            async for channel, data in program.output():
                self._live.add(data, error=channel == STDERR)
        except OSError:
            if self._live.error is None:
                raise
        if self._live.error is not None:
            return Report("cut", unrecorded(self._live.error))
        if program.status is None:
            return Report("cut", UNSAID)
        status, fault = outcome_of(program.status)
        return Report("cut", fault) if status is None else Report("done", exit_status=status)

    def _unrecorded(self) -> None:
        if self._socket is not None:
            self._closing = asyncio.ensure_future(self._socket.close())

    def exchanged(self) -> dict[str, Any] | None:
        """Return None: the output is in the recording."""
        return None

    async def kill(self) -> str:
        """Terminate the program's processes in the container, and return a note for the record; empty for
        none.
        """
        return await killed(self._watch, started=self.sent)


class OneRequest:
    """One request, whose response is printed for people.

    ``sent`` means that the API server may have received it.
    """

    def __init__(
        self,
        upstream: Upstream,
        use: AtCluster,
        sending: Sending,
        version: str,
        body: Body,
        recorder: Recorder,
        *,
        agent: str,
        again: Callable[[], Awaitable[Body]] | None,
        room: BodyBudget,
    ) -> None:
        """``version`` is the version of the request's API group. ``again`` binds the body to the object's
        current version, if it was bound to an earlier version. ``room`` limits the memory for responses.
        """
        self._upstream, self._use, self._sending, self._version = upstream, use, sending, version
        self._body, self._again, self._room = body, again, room
        self._most = _MOST_OF_A_FAULT if isinstance(sending.check, Logs) else MOST
        self._live, self._agent = Live(recorder, self._unrecorded), agent
        self._answer: Answer | None = None
        self._digest, self._status = hashlib.sha256(), 0
        self.sent = False
        self.size: int | None = 0
        self._read = 0

    async def run(self) -> Report:
        """Send the request and print its response.

        Raises BodiesTooLarge, NotReached, connection errors, and the errors of ``again``.
        """
        with self._room.taken(self._use.grant_id, self._most):
            answer = await send_bound(self._send, self._body, self._again)
            try:
                return await self._print(answer)
            finally:
                answer.close()
                self._live.stop()

    async def _send(self, body: Body) -> Answer:
        sending, self._body, self.sent = self._sending, body, True
        head = {"User-Agent": self._agent, "Accept": "*/*" if isinstance(sending.check, Logs) else _TABLE}
        if body.data:
            head["Content-Type"] = body.media
        query = f"?{sending.query}" if sending.query else ""
        try:
            answer = await self._upstream.send(
                self._use, sending.method, sending.path(self._version) + query, head, body.data
            )
        except NotReached as error:
            self.sent = error.sent
            raise
        self._status = answer.status
        return answer

    async def _print(self, answer: Answer) -> Report:
        self._answer = answer
        try:
            await self._pass(answer)
        except (OSError, ClientError):
            if self._live.error is None:
                raise
        if self._live.error is not None:
            return Report("cut", unrecorded(self._live.error))
        return Report("done", f"the API server returned {answer.status}" if answer.status >= 400 else "")

    async def _pass(self, answer: Answer) -> None:
        plain = isinstance(self._sending.check, Logs) and answer.status < 400
        kept = bytearray()
        async for piece in answer.content.iter_any():
            self._read += len(piece)
            self.size = self._read
            self._digest.update(piece)
            if plain:
                self._live.add(piece, error=False)
            elif self._read <= self._most:
                kept += piece
        if not plain:
            await self._show(answer, bytes(kept))

    def _unrecorded(self) -> None:
        if self._answer is not None:
            self._answer.close()

    async def _show(self, answer: Answer, data: bytes) -> None:
        text = b"The response is too large to print.\n"
        if self._read <= self._most:
            text = await aside(len(data), printed, data, media_in(answer), self._sending.method)
        for start in range(0, len(text), _PIECE):
            self._live.add(text[start : start + _PIECE], error=answer.status >= 400)
            await asyncio.sleep(0)

    def exchanged(self) -> dict[str, Any] | None:
        """Return the data sent in each direction, for the record; None if nothing was sent."""
        data = self._body.data
        return (
            None
            if not self.sent
            else {
                "status": self._status,
                "body_bytes": len(data),
                "body_sha256": hashlib.sha256(data).hexdigest(),
                "answer_bytes": self._read,
                "answer_sha256": self._digest.hexdigest(),
            }
        )

    async def kill(self) -> str:
        """Return nothing: a request leaves no processes behind."""
        return ""
