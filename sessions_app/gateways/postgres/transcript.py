"""The recording of one connection as text: its statements, their numbers of rows, errors and notices, but
never the rows.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from sessions_app.gateways.core.recording import FLUSH_AFTER, Recorder, Recording
from sessions_app.gateways.postgres import wire
from sessions_app.policy.commands.characters import hidden_at

# Characters that wait to be written. Until the first statement runs, there is no recording, and what exceeds
# this is dropped.
_MOST_WAITING = 65_536
_SHOWN = (wire.COMMAND_COMPLETE, wire.ERROR, wire.NOTICE)


class Transcript:
    """Writes the recording of a connection. The recording belongs to its first statement that ran."""

    def __init__(
        self,
        start: Callable[[int], Recorder],
        *,
        prompt: str,
        hides: bool,
        failed: Callable[[str], None],
    ) -> None:
        """``start`` starts the recording of a run. Without a recording, the connection must not continue:
        ``failed`` is called with the reason.

        ``hides``: messages may quote secret values, so only their codes are recorded.
        """
        self._start, self._prompt, self._hides, self._failed = start, prompt, hides, failed
        # Lines that are not written yet, each with its moment of ``time.monotonic``. The timer writes them
        # all at once, because each write costs as much as many lines.
        self._waiting: list[tuple[float, str]] = []
        self._size = 0
        self._timer: asyncio.TimerHandle | None = None
        self._recorder: Recorder | None = None
        self.run_id = 0

    def statement(self, line: str) -> None:
        """Add a statement as it is recorded."""
        self._say(f"{self._prompt}=> {line};")

    def ran(self, run_id: int) -> None:
        """Begin the recording with the first run."""
        if self._recorder is not None:
            return
        try:
            self._recorder = self._start(run_id)
        except OSError as error:
            self._failed(_reason(error))
            return
        self.run_id = run_id
        self._write()

    def answered(self, message: bytes) -> None:
        """Add a message that the client gets, unless it is a row or belongs to the protocol."""
        kind = message[:1]
        if kind not in _SHOWN:
            return
        content = message[wire.HEAD :]
        if kind == wire.COMMAND_COMPLETE:
            self._say(content.rstrip(b"\0").decode(errors="replace"))
        else:
            said = wire.read_error(content)
            code, text = said.get("C", ""), "" if self._hides else f": {said.get('M', '')}"
            self._say(f"{said.get('S', 'ERROR')} {code}{text}")

    def close(self, why: str) -> Recording | None:
        """End the recording, and return it. None if no statement ran, or if it can't be completed."""
        self._say(f"[stint: {why}]")
        if self._recorder is None:
            return None
        self._write()
        try:
            return self._recorder.close()
        except OSError:
            # The file is recovered later, like those of a lost gateway.
            return None

    def _say(self, text: str) -> None:
        is_full = self._size > _MOST_WAITING
        if self._recorder is None and is_full:
            return
        self._waiting.append((time.monotonic(), text))
        self._size += len(text)
        if self._recorder is None:
            return
        if is_full:
            self._write()
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(FLUSH_AFTER, self._write)

    def _write(self) -> None:
        """Write the lines that wait."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        waiting, self._waiting, self._size = self._waiting, [], 0
        if self._recorder is None:
            return
        try:
            self._recorder.lines([(at, visible(text)) for at, text in waiting])
            self._recorder.flush()
        except (OSError, ValueError) as error:
            self._failed(_reason(error))


def visible(text: str) -> str:
    """Return a text whose control characters and invisible characters are escaped."""
    if hidden_at(text) is None:
        return text
    return "".join(char if hidden_at(char) is None else f"\\u{ord(char):04x}" for char in text)


def _reason(error: OSError | ValueError) -> str:
    return f"its recording can't be written: {getattr(error, 'strerror', '') or error}"
