"""The recording of one connection as text: its statements, their numbers of rows, errors and notices, but
never the rows.
"""

from __future__ import annotations

from collections.abc import Callable

from sessions_app.gateways.core.live import Live
from sessions_app.gateways.core.recording import Recorder, Recording
from sessions_app.gateways.postgres import wire
from sessions_app.policy.commands.characters import hidden_at

# Characters that are kept until the first statement runs. Until then there is no recording.
_MOST_EARLY = 65_536
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
        self._early: list[str] = []
        self._recorder: Recorder | None = None
        self._live: Live | None = None
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
        self._live = Live(self._recorder, lambda: self._failed("its recording can't be written"))
        early, self._early = self._early, []
        for text in early:
            self._say(text)

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
        if self._recorder is None or self._live is None:
            return None
        self._live.stop()
        try:
            return self._recorder.close()
        except OSError:
            # The file is recovered later, like those of a lost gateway.
            return None

    def _say(self, text: str) -> None:
        text = visible(text)
        if self._live is None:
            if sum(map(len, self._early)) < _MOST_EARLY:
                self._early.append(text)
            return
        try:
            self._live.add(text.encode() + b"\n", error=False)
        except (OSError, ValueError) as error:
            self._failed(_reason(error))


def visible(text: str) -> str:
    """Return a text whose control characters and invisible characters are escaped."""
    if hidden_at(text) is None:
        return text
    return "".join(char if hidden_at(char) is None else f"\\u{ord(char):04x}" for char in text)


def _reason(error: OSError | ValueError) -> str:
    return f"its recording can't be written: {getattr(error, 'strerror', '') or error}"
