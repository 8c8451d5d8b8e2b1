"""Recordings of command output, never input, as asciicast v2
(https://docs.asciinema.org/manual/asciicast/v2/).
"""

from __future__ import annotations

import codecs
import contextlib
import datetime as dt
import fcntl
import hashlib
import json
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from json.encoder import encode_basestring
from pathlib import Path

from broker.kernel.text import recordable_line
from sessions_app.queries.record.recording_files import Room

_BUFFER = 64 * 1024
# Output appears on the grant's page after at most this many seconds.
FLUSH_AFTER = 0.4
# Larger terminals than this many columns or rows are not recorded.
MOST_CELLS = 1000


@dataclass(frozen=True, slots=True)
class Recording:
    """A closed recording: its path below the recordings folder, and the SHA-256 of the file in hex.

    The sizes of the file and of the output are in bytes.
    """

    path: str
    digest: str
    file_bytes: int
    output_bytes: int


class Recorder:
    """Writes one file. Output without a terminal gets carriage returns, as a terminal would add them."""

    def __init__(
        self,
        folder: Path,
        path: str,
        *,
        title: str,
        started: dt.datetime,
        size: tuple[int, int] = (80, 24),
        room: Room,
    ) -> None:
        """Create ``folder/path``, readable only by its owner. Private keys in the title are masked.

        Once the space in ``room`` is used up, output is counted but not kept. Raises OSError. An existing
        file is never overwritten.
        """
        self._file = os.fdopen(_created(folder / path), "wb", buffering=_BUFFER)
        # Until the file is closed or this process ends, `store_recordings` does not consider it finished.
        with contextlib.suppress(OSError):
            fcntl.flock(self._file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        self._path, self._at = path, folder / path
        # Called with each event after it was written (its kind and text), and with None after the last event.
        self.followers: list[Callable[[tuple[str, str] | None], None]] = []
        self._hash = hashlib.sha256()
        self._written = self._printed = 0
        self._room = room
        self._full = False
        self._began = time.monotonic()
        # One decoder for each stream: a character may be split across packets, with data of the other stream
        # in between.
        self._decoders = {error: codecs.getincrementaldecoder("utf-8")("replace") for error in (False, True)}
        width, height = size
        self._line(
            json.dumps(
                {
                    "version": 2,
                    "width": width or 80,
                    "height": height or 24,
                    "timestamp": int(started.timestamp()),
                    "title": recordable_line(title),
                    "env": {"TERM": "dumb"},
                },
                ensure_ascii=False,
            )
        )
        # The file is a valid recording even if this process is killed.
        self._file.flush()

    def output(self, data: bytes, *, error: bool) -> None:
        """Add output. Raises OSError."""
        self._printed += len(data)
        if self._full:
            return
        text = self._decoders[error].decode(data).replace("\n", "\r\n")
        left = max(0, self._room.bytes - self._written)
        if text[:left]:
            self._event(text[:left])
        if len(text) > left:
            self._full = True
            self._event(f"\r\n[stint: recording truncated: {self._room.limit}]\r\n")

    def lines(self, lines: Sequence[tuple[float, str]]) -> None:
        """Add lines without control characters, each with its moment of ``time.monotonic``, which may be
        before the recording. Raises OSError.
        """
        events = [(round(max(0.0, at - self._began), 6), f"{line}\r\n") for at, line in lines]
        whole = "".join([f'[{at}, "o", {encode_basestring(text)}]\n' for at, text in events])
        if self._full or self._written + len(whole) > self._room.bytes:
            for _, line in lines:
                self.output(f"{line}\n".encode(), error=False)
            return
        self._printed += sum([len(line.encode()) + 1 for _, line in lines])
        self._write(whole)
        if self.followers:
            for _, text in events:
                self._follow(("o", text))

    def resize(self, width: int, height: int) -> None:
        """Add a change of the terminal's size, in characters. Raises OSError."""
        if not self._full and 0 < width < MOST_CELLS and 0 < height < MOST_CELLS:
            self._event(f"{width}x{height}", kind="r")

    def so_far(self) -> tuple[Path, int]:
        """Return the file, and how many bytes of it are complete events. Raises OSError."""
        self._file.flush()
        return self._at, self._written

    def flush(self) -> None:
        """Make the output so far visible to readers of the file. Raises OSError."""
        self._file.flush()

    def close(self) -> Recording:
        """Close the file and return the finished recording. Raises OSError."""
        for decoder in self._decoders.values():
            if (text := decoder.decode(b"", final=True)) and not self._full:
                self._event(text)
        try:
            self._file.flush()
            self._file.close()
        finally:
            self._follow(None)
        return Recording(self._path, self._hash.hexdigest(), self._written, self._printed)

    def _event(self, text: str, kind: str = "o") -> None:
        # `json.dumps` would create an encoder for each event.
        self._line(f'[{round(time.monotonic() - self._began, 6)}, "{kind}", {encode_basestring(text)}]')
        if self.followers:
            self._follow((kind, text))

    def _follow(self, event: tuple[str, str] | None) -> None:
        for follower in list(self.followers):
            follower(event)

    def _line(self, text: str) -> None:
        self._write(f"{text}\n")

    def _write(self, lines: str) -> None:
        data = lines.encode("utf-8", "replace")
        self._hash.update(data)
        self._written += len(data)
        self._file.write(data)


def _created(path: Path) -> int:
    """Create a file, and return its descriptor. Raises OSError."""
    for last in (False, True):
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        try:
            return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileNotFoundError:
            # Storing the last recording in a grant's folder removes the folder, possibly at this moment.
            if last:
                raise
    raise AssertionError
