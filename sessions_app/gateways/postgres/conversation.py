"""One holder's connection after login. The client's messages are handled, and the target's responses
relayed, until one side ends the connection or it is cut.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
from collections.abc import Callable, Coroutine
from typing import Any, Protocol

import structlog

from broker.kernel.errors import StintError
from broker.kernel.gathering import Gathering
from sessions_app.connectors.postgres.parameters import parameters_of
from sessions_app.gateways.core.cuttable import Cuttable
from sessions_app.gateways.core.endpoint import Shared
from sessions_app.gateways.core.recording import Recorder
from sessions_app.gateways.core.registry import OpenSession
from sessions_app.gateways.core.tally import Tally
from sessions_app.gateways.postgres import wire
from sessions_app.gateways.postgres.attempts import Attempts
from sessions_app.gateways.postgres.batches import END, READY
from sessions_app.gateways.postgres.handling import Handling
from sessions_app.gateways.postgres.limits import NOT_SUPPORTED
from sessions_app.gateways.postgres.transcript import Transcript
from sessions_app.gateways.postgres.upstream import Upstream
from sessions_app.gateways.postgres.wire import Closed, ProtocolError, Rest
from sessions_app.operations.sessions.keep_conversation import keep_conversation
from sessions_app.operations.sessions.proofs.postgres import StatementUse

log = structlog.get_logger(__name__)

# Bytes of one message from a client, such as a Bind with its values.
LARGEST = 1024 * 1024
ENDED, BAD_PROTOCOL, LOST = "57P01", "08P01", "08006"
GIVEN_UP = "the client disconnected"
# Seconds that a client has to read why it was cut.
GOODBYE_S = 0.5
_NO_COPY = "COPY is not supported by this gateway."
# Messages that end the connection, and why; empty if the client terminates it.
_ENDS = {
    b"X": "",
    b"F": "Function calls are not supported by this gateway.",
    **dict.fromkeys((b"d", b"c", b"f"), _NO_COPY),
}
# Bytes that wait to be sent to one side before the other side has to wait.
MOST_WAITING = 64 * 1024


class _Left(Exception):
    """The client has terminated the connection, or it was ended with a reason."""


class TargetGone(Exception):
    """The target has closed the connection, or broke the protocol. The message states which."""


class Buffer(Protocol):
    """The buffer of messages that have not left."""

    def get_write_buffer_size(self) -> int:
        """Return its size in bytes."""


class Outgoing(Protocol):
    """The stream of messages to a client."""

    def write(self, data: bytes) -> object:
        """Send whole messages."""

    @property
    def transport(self) -> Buffer:
        """The buffer behind the stream."""

    def drain(self) -> Coroutine[Any, Any, None]:
        """Wait until most of the messages have left the buffer."""

    def is_closing(self) -> bool:
        """Whether no more messages reach the client."""

    def close(self) -> None:
        """Close the connection once everything was sent."""


class Client(Protocol):
    """A client's connection after login."""

    gone: bool
    on_gone: Callable[[], object]

    @property
    def writer(self) -> Outgoing:
        """The stream of messages to the client."""

    def abort(self) -> None:
        """Cut the connection immediately."""


class Incoming(Protocol):
    """The messages of a client."""

    def buffered(self) -> tuple[bytes, bytes] | None:
        """Return the type and the content of the next message if it has arrived. Raises ProtocolError."""

    def whole(self, end: bytes) -> bytes:
        """Return all data that has arrived if it ends like this, and empty otherwise. It is not taken."""

    def clear(self) -> None:
        """Take all data that has arrived."""

    async def serve(self, handle: Callable[[], Rest]) -> None:
        """Call ``handle`` whenever messages have arrived, as `Messages` does. Raises Closed."""


class Conversation(Cuttable):
    """One connection, as the only user of its session."""

    def __init__(
        self,
        shared: Shared,
        session: OpenSession[StatementUse],
        line: Client,
        messages: Incoming,
        upstream: Upstream,
        tally: Tally,
        begin: Callable[[Coroutine[Any, Any, None]], None],
        record: Callable[[int], Recorder] | None = None,
    ) -> None:
        """``begin`` runs what may continue after the connection has ended. ``record`` starts the recording
        of the connection, which belongs to a run; without it, the connection has no recording.
        """
        super().__init__()
        self._session, self._use = session, session.use
        self._line, self._messages, self._upstream, self._background = line, messages, upstream, begin
        self._out, self._up = Gathering(line.writer), Gathering(upstream.writer)
        self._handling = Handling(shared, session, tally, to_client=self._to_client, to_target=self._up.write)
        self._answers, self._attempts = self._handling.answers, self._handling.attempts
        self._handling.on_ready = self._is_ready
        if record is not None:
            self._attempts.transcript = Transcript(
                record,
                prompt=parameters_of(session.use.place).database,
                hides=session.use.compiled.hides,
                failed=self.stop,
            )
        self._reports = shared.node.registry.reports
        self._now = shared.node.clock.now
        self._ended = ""
        self._gone = self._cancels = False

    @property
    def attempts(self) -> Attempts:
        """The connection's statements in the record."""
        return self._attempts

    # The ``User`` interface of its session.

    @property
    def _begun(self) -> bool:
        return any(run.sent and not run.uncommitted for run in self._attempts.open)

    @property
    def finish_by(self) -> dt.datetime | None:
        """The time until which the statement may run past the grant's end; None if it is cut off at the
        grant's end.
        """
        return self._handling.finish_by if self._begun else None

    @property
    def finish_seconds(self) -> int:
        """How many seconds the statement may run past the grant's end; 0 if it is cut off at the
        grant's end.
        """
        return self._handling.finish_seconds if self._begun else 0

    def tell(self, text: str) -> None:
        """Show a line to the holder. Most programs show it with the next response."""
        self._to_client(wire.notice(text, severity="WARNING", code="01000"))

    def cancel(self) -> None:
        """Handle a CancelRequest: stop waiting for an approval, or cancel the statement that runs on the
        target.
        """
        if not self._handling.stop_waiting() and self._answers.expected and not self._cancels:
            self._cancels = True
            self._background(self._canceled())

    async def _canceled(self) -> None:
        await self._upstream.cancel()
        self._cancels = False

    async def run(self) -> None:
        """Relay until one side closes the connection or the gateway cuts it."""
        self._task = task = asyncio.current_task()
        self._line.on_gone = self._client_gone
        try:
            self._session.enter(self)
            await self._serve()
        except asyncio.CancelledError:
            if task is None or not (self._stopped or self._gone):
                raise
            task.uncancel()
        except StintError as error:
            self._end(ENDED, error.message)
        except Exception as error:  # one connection's failure must not affect the others
            log.exception("postgres.failed", grant=self._use.grant_ref, error=type(error).__name__)
            self._end("XX000", "Internal error. See the gateway's log.")
        finally:
            self._conclude()

    def _client_gone(self) -> None:
        self._gone = True
        if self._task is not None:
            self._task.cancel()

    async def _serve(self) -> None:
        if self._line.gone:
            return
        tasks = [asyncio.create_task(self._relay()), asyncio.create_task(self._listen())]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        except Closed:
            self._gone = True
        except TargetGone as error:
            if not self._answers.ended:
                self._end(LOST, f"{self._use.target.name} {error}.")
        except ProtocolError as error:
            self._end(BAD_PROTOCOL, f"The client broke the protocol: {error}.")
        finally:
            for task in tasks:
                task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.wait(tasks)

    def _end(self, code: str, why: str) -> None:
        self._ended = why
        self._to_client(wire.error(code, why, severity="FATAL"))

    def _conclude(self) -> None:
        """Report the statements that have not ended, and close both sides."""
        over = self._session.grant.over
        if self._stopped:
            said = f"{self._use.grant_ref} has ended" if over else "The connection was closed"
            self._end(ENDED, f"{said}: {self._stopped}.")
        runs = bool(self._answers.expected)
        self._attempts.finish_all(self._stopped or self._ended or GIVEN_UP)
        self._background(self._leave(cancel=runs))
        self._keep_transcript(self._stopped or self._ended or GIVEN_UP)
        self._session.leave(self)
        self._session.close(self._stopped or ("the holder disconnected" if self._gone else "done"))
        self._out.close()
        asyncio.get_running_loop().call_later(GOODBYE_S, self._line.abort)

    def _keep_transcript(self, why: str) -> None:
        transcript = self._attempts.transcript
        recording = transcript.close(why) if transcript is not None else None
        if transcript is not None and recording is not None:
            self._reports.send(
                self._session,
                keep_conversation,
                run_id=transcript.run_id,
                recording=recording.path,
                recording_digest=recording.digest,
                recording_bytes=recording.file_bytes,
                now=self._now(),
                plain={},
            )

    async def _leave(self, *, cancel: bool) -> None:
        """Close the connection to the target, and cancel a statement that still runs there."""
        with contextlib.suppress(OSError, RuntimeError):
            self._up.write(wire.TERMINATE)
            self._up.close()
        if cancel:
            await self._upstream.cancel()
        self._upstream.abort()

    # Between both sides

    def flush(self) -> None:
        """Send the client now what is queued for it."""
        self._out.flush()

    def _to_client(self, message: bytes) -> None:
        self._out.write(message)
        self._attempts.show(message)

    async def _relay(self) -> None:
        """Pass the target's responses to the client. Raises TargetGone."""
        try:
            await self._upstream.messages.serve(self._from_target)
        except (Closed, OSError) as error:
            if self._line.gone:
                raise Closed from error
            raise TargetGone("closed the connection") from error
        except ProtocolError as error:
            raise TargetGone(f"sent an unexpected response: {error}") from error

    def _from_target(self) -> Rest:
        """Relay the responses that have arrived. Raises ProtocolError."""
        messages, answers, taken = self._upstream.messages, self._answers, False
        if answers.expects_batch and answers.take_batch(messages.whole(READY), self._out.send):
            messages.clear()
            return _drained(self._line.writer)
        self._out.hold()
        try:
            while (found := messages.buffered()) is not None:
                if answers.must_afford(found[0]):
                    return self._afforded(*found)
                answers.take(*found)
                taken = True
        finally:
            self._out.release()
        return _drained(self._line.writer) if taken else None

    async def _afforded(self, kind: bytes, content: bytes) -> None:
        await self._answers.afford(content)
        self._answers.take(kind, content)

    def _is_ready(self) -> None:
        if self._session.closed and not self._begun:
            self.stop(self._session.grant.over or "the session is closed")

    async def _listen(self) -> None:
        """Handle the client's messages. Raises Closed and ProtocolError."""
        with contextlib.suppress(_Left):
            await self._messages.serve(self._from_client)

    def _from_client(self) -> Rest:
        """Handle the messages that have arrived. Raises _Left, ProtocolError and Ended."""
        taken = False
        if self._repeats():
            self._messages.clear()
            return _drained(self._upstream.writer)
        self._up.hold()
        self._out.hold()
        try:
            while not self._stopped and (found := self._messages.buffered()) is not None:
                if (rest := self._taken(*found)) is not None:
                    return rest
                taken = True
        finally:
            self._up.release()
            self._out.release()
        return _drained(self._upstream.writer) if taken else None

    def _repeats(self) -> bool:
        """Handle a batch that repeats a read, if that is all that has arrived."""
        if self._stopped or not self._handling.is_idle:
            return False
        data = self._messages.whole(END)
        return bool(data) and self._handling.repeat(data, self._up.send)

    def _taken(self, kind: bytes, content: bytes) -> Rest:
        if not self._handling.is_ready:
            return self._taken_later(kind, content)
        if kind in _ENDS:
            if why := _ENDS[kind]:
                self._end(NOT_SUPPORTED, why)
            raise _Left
        return self._handling.handle(kind, content)

    async def _taken_later(self, kind: bytes, content: bytes) -> None:
        await self._handling.ready()
        if (rest := self._taken(kind, content)) is not None:
            await rest


def _drained(writer: Outgoing) -> Rest:
    """Return the wait for a side that does not read as fast as the other sends; None if it keeps up."""
    return writer.drain() if writer.transport.get_write_buffer_size() > MOST_WAITING else None
