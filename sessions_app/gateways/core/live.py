"""Writes output to a recording while readers of the page follow it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from sessions_app.gateways.core.recording import FLUSH_AFTER, Recorder


class Live:
    """The output of one command.

    ``error`` is why the output can't be recorded; ``failed`` is called in that case.
    """

    def __init__(self, recorder: Recorder | None, failed: Callable[[], None]) -> None:
        """Without a recorder, nothing is recorded."""
        self._recorder, self._failed = recorder, failed
        self._flush: asyncio.TimerHandle | None = None
        self.error: OSError | None = None

    def add(self, data: bytes, *, error: bool) -> None:
        """Record output before it is shown. Raises OSError if the output can't be recorded; it must then
        not be shown.
        """
        if self._recorder is None:
            return
        try:
            self._recorder.output(data, error=error)
        except OSError as problem:
            self.error = problem
            raise
        if self._flush is None:
            # A timer flushes all output since the last flush together, so that a flood costs as little as one
            # line.
            self._flush = asyncio.get_running_loop().call_later(FLUSH_AFTER, self._show)

    def resize(self, width: int, height: int) -> None:
        """Record a change of the terminal's size. Raises OSError."""
        if self._recorder is not None:
            self._recorder.resize(width, height)

    def stop(self) -> None:
        """Stop the timer that flushes output."""
        if self._flush is not None:
            self._flush.cancel()
            self._flush = None

    def _show(self) -> None:
        self._flush = None
        if self._recorder is not None:
            try:
                self._recorder.flush()
            except OSError as problem:
                self.error = problem
                self._failed()
