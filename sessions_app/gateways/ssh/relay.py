"""Pass data between a holder and a command on a target, with backpressure in both directions."""

from __future__ import annotations

import asyncio
import re
from typing import Protocol

import asyncssh
from asyncssh.constants import EXTENDED_DATA_STDERR

from sessions_app.gateways.core.live import Live
from sessions_app.gateways.core.recording import Recorder

# The form of signal names in RFC 4254, 6.10. Without this check, any text from the peer could end up in rows
# and messages.
_SIGNAL = re.compile(r"[A-Z0-9]{1,16}")


def signal_name(sent: str) -> str:
    """Return a signal's name as the peer sent it; ``UNKNOWN`` if it isn't a valid name."""
    return sent if _SIGNAL.fullmatch(sent) else "UNKNOWN"


class Feed(Protocol):
    """The input of a running command, and the flow of its output."""

    def write(self, data: bytes) -> None:
        """Send input."""

    def eof(self) -> None:
        """Send the end of input."""

    def pause(self) -> None:
        """Pause the command's output."""

    def resume(self) -> None:
        """Resume the command's output."""


class CommandIO(Protocol):
    """The other end of a command's input and output: a channel, a prompt or an order."""

    def output(self, data: bytes, *, error: bool) -> None:
        """Show what the command printed."""

    def note(self, text: str) -> None:
        """Show a message from Stint itself."""

    def attach(self, feed: Feed | None) -> None:
        """Connect a running command, which gets input through ``feed``.

        ``feed`` is None after the command has ended.
        """

    def pause_input(self) -> None:
        """Send no input for now."""

    def resume_input(self) -> None:
        """Resume sending input."""


class TargetSession(asyncssh.SSHClientSession[bytes]):
    """The command's channel at the target. ``over`` is set when the channel is closed."""

    def __init__(self, io: CommandIO, recorder: Recorder | None) -> None:
        self._io = io
        self._live = Live(recorder, self.abort)
        self._channel: asyncssh.SSHClientChannel[bytes] | None = None
        self.over = asyncio.Event()
        self.exit_status: int | None = None
        self.signal = ""

    @property
    def record_error(self) -> OSError | None:
        """The error that prevented recording the output, if any. The command is cut then."""
        return self._live.error

    @property
    def opened(self) -> bool:
        """Whether the target has opened the channel. The command is sent as soon as it has."""
        return self._channel is not None

    def connection_made(self, chan: asyncssh.SSHClientChannel[bytes]) -> None:
        self._channel = chan

    def data_received(self, data: bytes, datatype: int | None) -> None:
        error = datatype == EXTENDED_DATA_STDERR
        try:
            self._live.add(data, error=error)
        except OSError:
            # Output that can't be recorded is not shown, and the command is cut.
            self.abort()
            return
        self._io.output(data, error=error)

    def exit_status_received(self, status: int) -> None:
        self.exit_status = status

    def exit_signal_received(self, signal: str, core_dumped: bool, msg: str, lang: str) -> None:
        del core_dumped, msg, lang
        self.signal = signal_name(signal)

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        # The recorder is closed next, which flushes its output.
        self._live.stop()
        self.over.set()

    def pause_writing(self) -> None:
        self._io.pause_input()

    def resume_writing(self) -> None:
        self._io.resume_input()

    # The command's input: the ``Feed`` interface.

    def write(self, data: bytes) -> None:
        if self._channel is not None and not self._channel.is_closing():
            self._channel.write(data)

    def eof(self) -> None:
        if self._channel is not None and not self._channel.is_closing():
            self._channel.write_eof()

    def pause(self) -> None:
        if self._channel is not None:
            self._channel.pause_reading()

    def resume(self) -> None:
        if self._channel is not None:
            self._channel.resume_reading()

    def abort(self) -> None:
        """Cut the connection, whereupon the wrapper on the target kills the command."""
        if self._channel is not None:
            self._channel.get_connection().abort()
