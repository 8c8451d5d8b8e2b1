"""One session channel of a holder's connection: a command, the prompt or SFTP. Everything else is refused."""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import Callable
from typing import cast

import asyncssh
import structlog
from asyncssh.constants import EXTENDED_DATA_STDERR

from broker.kernel.errors import StintError
from sessions_app.gateways.ssh.commands import CommandExecution
from sessions_app.gateways.ssh.parts import Channels, ExecutionResult
from sessions_app.gateways.ssh.prompt import Prompt
from sessions_app.gateways.ssh.relay import Feed, signal_name
from sessions_app.gateways.ssh.sftp import FileServer

log = structlog.get_logger(__name__)

# The exit status if Stint refuses or cuts a command. A command's own exit status is passed on.
REFUSED = 255
# In seconds. A client that has stopped reading must not delay the end. Others get the last message within
# this time.
LAST_WORDS = 0.25
LEFT = "the holder disconnected"
# Half the number of bytes of waiting SFTP requests at which asyncio pauses the client.
_REQUESTS = 512 * 1024


class Channel(asyncssh.SSHServerSession[bytes]):
    """The server's side of a channel: input and output of its command, stopped when the grant ends."""

    def __init__(self, connection: Channels, raw: asyncssh.SSHServerChannel[bytes]) -> None:
        self._connection = connection
        # The channel below the line editor, for output that need not pass through the editor.
        self._raw = raw
        self._editor: asyncssh.SSHServerChannel[str] | None = None
        self._line: str | None = None
        self._terminal = False
        self._feed: Feed | None = None
        self._early: list[bytes] = []
        self._command: CommandExecution | None = None
        self._prompt: Prompt | None = None
        self._requests: asyncio.StreamReader | None = None
        self._requests_over = False
        self._files: FileServer | None = None
        self._drained = asyncio.Event()
        self._drained.set()
        self._task: asyncio.Task[None] | None = None
        self._stopped = ""
        self._gone = False
        self._eof = self._paused = False

    # Requests of the client.

    def connection_made(self, chan: asyncssh.SSHServerChannel[bytes]) -> None:
        self._editor = cast("asyncssh.SSHServerChannel[str]", chan)

    def pty_requested(self, term_type: str, term_size: object, term_modes: object) -> bool:
        del term_type, term_size, term_modes
        self._terminal = True
        return True

    def exec_requested(self, command: str) -> bool:
        self._line = command
        return True

    def shell_requested(self) -> bool:
        if self._terminal:
            self._raw.set_encoding("utf-8", "replace")
        return True

    def subsystem_requested(self, subsystem: str) -> bool:
        if subsystem != "sftp" or self._terminal:
            return False
        self._requests = asyncio.StreamReader(limit=_REQUESTS)
        self._requests.set_transport(self._raw)  # type: ignore[arg-type]  # it only pauses and resumes
        return True

    def session_started(self) -> None:
        self._task = asyncio.create_task(self._serve())

    # Input.

    def data_received(self, data: bytes, datatype: int | None) -> None:
        del datatype
        if self._requests is not None:
            if not self._requests_over:
                self._requests.feed_data(data)
        elif self._prompt is not None:
            self._prompt.line(cast("str", data))
        elif self._feed is not None:
            self._feed.write(data)
        elif self._line is not None:
            # Input waits here until the command can take it. Further input stays in the client.
            self._early.append(data)
            self._raw.pause_reading()

    def eof_received(self) -> bool:
        self._eof = True
        if self._requests is not None:
            # An SFTP client that sends no more requests expects no more responses.
            self._cut(LEFT)
        if self._feed is not None:
            self._feed.eof()
        return True

    def soft_eof_received(self) -> None:
        if self._prompt is not None:
            self._prompt.leave()

    def break_received(self, msec: int) -> bool:
        del msec
        self._interrupt("interrupted by its holder")
        return True

    def signal_received(self, signal: str) -> None:
        self._interrupt(f"its holder sent {signal_name(signal)}")

    def pause_writing(self) -> None:
        self._paused = True
        self._drained.clear()
        if self._feed is not None:
            self._feed.pause()

    def resume_writing(self) -> None:
        self._paused = False
        self._drained.set()
        if self._feed is not None:
            self._feed.resume()

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        self._gone = True
        self._connection.left(self)
        self._cut(LEFT)

    # Output, for SFTP.

    def send(self, data: bytes) -> None:
        if not self._raw.is_closing():
            self._raw.write(data)

    async def drained(self) -> None:
        await self._drained.wait()

    # Output, for commands and the prompt.

    def output(self, data: bytes, *, error: bool) -> None:
        if not self._raw.is_closing():
            self._raw.write(data, EXTENDED_DATA_STDERR if error else None)

    def note(self, text: str) -> None:
        if self._prompt is not None:
            self._prompt.note(text)
        elif self._raw.is_closing():
            return
        elif self._line is None and self._terminal:
            # The channel of a prompt takes text, and a terminal has only one stream.
            cast("asyncssh.SSHServerChannel[str]", self._raw).write(f"stint: {text}\r\n")
        else:
            end = "\r\n" if self._terminal else "\n"
            self._raw.write(f"stint: {text}{end}".encode(), EXTENDED_DATA_STDERR)

    def attach(self, feed: Feed | None) -> None:
        self._feed = feed
        if feed is None:
            return
        for data in self._early:
            feed.write(data)
        self._early.clear()
        if self._eof:
            feed.eof()
        if self._paused:
            feed.pause()
        self._raw.resume_reading()

    def pause_input(self) -> None:
        self._raw.pause_reading()

    def resume_input(self) -> None:
        self._raw.resume_reading()

    # The ``User`` interface of its session.

    @property
    def finish_by(self) -> dt.datetime | None:
        """The time until which the running command may continue past the grant's end."""
        command = self._prompt.command if self._prompt is not None else self._command
        return command.finish_by if command is not None else None

    @property
    def finish_seconds(self) -> int:
        """The number of seconds that the running command may continue past the grant's end."""
        command = self._prompt.command if self._prompt is not None else self._command
        return command.finish_seconds if command is not None else 0

    def tell(self, text: str) -> None:
        """Show a line to the holder."""
        self.note(text)

    def stop(self, reason: str) -> None:
        """Cut the channel's command and prompt immediately."""
        if self._files is not None and not self._stopped:
            # Send the message now, because the client disconnects once it learns that its transfer failed.
            self.note(f"{self._files.grant_ref} has ended: {reason}.")
        self._stopped = self._stopped or reason
        self._cut(reason)
        if self._prompt is not None:
            self._prompt.leave()

    async def _serve(self) -> None:
        try:
            status = await self._answer()
        except StintError as error:
            self.note(str(error))
            status = REFUSED
        except asyncio.CancelledError:
            raise
        except Exception as error:  # one channel's failure must not affect the others
            log.exception("channel.failed", error=type(error).__name__)
            self.note("Internal error. Nothing is running. See the gateway's log.")
            status = REFUSED
        if isinstance(status, str):
            self._finish(lambda: self._raw.exit_with_signal(status))
        else:
            self._finish(lambda: self._raw.exit(status))

    def _finish(self, leave: Callable[[], None]) -> None:
        if self._gone:
            return
        leave()
        if self._stopped:
            asyncio.get_running_loop().call_later(LAST_WORDS, self._let_go)

    def _let_go(self) -> None:
        if not self._gone:
            self._raw.abort()
            self._connection.abort_if_unused(self)

    async def _answer(self) -> int | str:
        """Run the command, the prompt or SFTP; return an exit status or the name of a signal."""
        if self._requests is not None:
            return await self._serve_files(self._requests)
        if self._line is None and not self._terminal:
            self.note("No shell access. Pass a command, or connect from a terminal to get a prompt.")
            return REFUSED
        if self._line is not None and self._terminal:
            self.note("Commands can't have a terminal. Remove -t.")
            return REFUSED
        session, decision = await self._connection.session_for(self._line)
        session.enter(self)
        try:
            if self._line is None or decision is None:
                self._prompt = Prompt(
                    self._connection.parts,
                    session,
                    self._raw,
                    cast("asyncssh.SSHServerChannel[str]", self._editor),
                    self,
                )
                await self._prompt.run()
                if self._stopped:
                    self._prompt.note(f"{session.use.grant_ref} has ended: {self._stopped}.")
                return REFUSED if self._stopped else 0
            self._command = CommandExecution(self._connection.parts, session, self._line, decision, self)
            if self._gone:
                self._command.stop(LEFT)
            return self._pass_on(await self._command.run(), session.use.grant_ref)
        finally:
            session.leave(self)

    async def _serve_files(self, requests: asyncio.StreamReader) -> int:
        session = await self._connection.session_for_files()
        session.enter(self)
        try:
            self._files = FileServer(self._connection.parts, session, requests, self)
            if self._gone or self._eof:
                self._files.stop(LEFT)
            await self._files.run()
        finally:
            session.leave(self)
        return REFUSED if self._stopped else 0

    def _pass_on(self, outcome: ExecutionResult, ref: str) -> int | str:
        if outcome.state == "refused":
            self.note(f"not allowed: {outcome.message}")
            return REFUSED
        if outcome.state == "failed":
            self.note(outcome.message)
            return REFUSED
        if outcome.state == "cut":
            over = f"{ref} has ended" if self._stopped else "the command was cut"
            self.note(f"{over}: {outcome.message}.")
            return REFUSED
        return outcome.signal or (REFUSED if outcome.exit_status is None else outcome.exit_status)

    def _interrupt(self, reason: str) -> None:
        if self._prompt is not None:
            self._prompt.interrupt(reason)
        else:
            self._cut(reason)

    def _cut(self, reason: str) -> None:
        self._requests_over = True
        if self._files is not None:
            self._drained.set()
            self._files.stop(reason)
        if self._command is not None:
            self._command.stop(reason)
        if self._prompt is not None:
            self._prompt.cut(reason)
