"""Read recordings for display on pages (asciicast v2, https://docs.asciinema.org/manual/asciicast/v2/)."""

from __future__ import annotations

import datetime as dt
import io
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeVar

from django.utils.safestring import SafeString

from accounts.models import Identity, answers_for
from broker.kernel.crypto import CannotDecrypt
from sessions_app.models import CommandRun, RunState
from sessions_app.operations.sessions.watch_recording import watch_recording
from sessions_app.queries.record.recording_content import open_file, open_recording
from sessions_app.queries.record.recording_files import recording_path
from sessions_app.web.display.ansi import plain, render

# The maximum number of bytes read from the end of a recording. Pages show only the end; the download has
# the whole recording.
MAX_BYTES = 256 * 1024
MAX_LINES = 400
MAX_CHARS = 64 * 1024
MAX_HITS = 100
Shown = TypeVar("Shown")


@dataclass(frozen=True, slots=True)
class Output:
    """The last lines of a command's output, as HTML without inline styles and as plain text. ``cut`` means
    that earlier lines were omitted.
    """

    html: SafeString
    text: str
    cut: bool
    size: int


@dataclass(frozen=True, slots=True)
class Hit:
    """A line of a recording that contains the searched text, and the time at which it was printed, in
    seconds.
    """

    at: float
    line: str


def output_for(run: CommandRun, reader: Identity, now: dt.datetime) -> Output | None:
    """Return the end of a run's output, even while the command is running; None if the recording can't be
    read.

    Each view is recorded, except when holders watch the running output of their own command. Raises NotFound
    for a run that the reader can't see.
    """
    return shown_for(run, reader, now, output_of)


def shown_for(
    run: CommandRun, reader: Identity, now: dt.datetime, read: Callable[[io.BufferedReader], Shown]
) -> Shown | None:
    """Open a run's recording under the rules of ``output_for``, and return what ``read`` returns for it."""
    running = run.state == RunState.RUNNING
    try:
        file = open_file(recording_path(run.grant.ref, run.pk)) if running else open_recording(run)
        if file is None:
            return None
        with file:
            found = read(file)
    except (OSError, CannotDecrypt):
        return None
    if not running or not answers_for(reader, run.grant.holder):
        watch_recording(run_id=run.pk, actor=reader, now=now, running=running)
    return found


def output_of(file: io.BufferedReader) -> Output:
    """Return the end of a recording's output. Raises OSError."""
    size, data = _tail(file)
    text = "".join(event for _, event in events(data)).rstrip("\r\n")
    lines = text.split("\n")
    kept = "\n".join(lines[-MAX_LINES:])
    cut = len(lines) > MAX_LINES or size > MAX_BYTES or len(kept) > MAX_CHARS
    kept = kept[-MAX_CHARS:]
    return Output(render(kept), plain(kept), cut, size)


def _tail(file: io.BufferedReader) -> tuple[int, bytes]:
    size = file.seek(0, 2)
    file.seek(max(0, size - MAX_BYTES))
    # The first line is the file's header or a partial line.
    file.readline()
    return size, file.read(MAX_BYTES)


def events(data: bytes) -> Iterator[tuple[float, str]]:
    """Yield the time and text of each output event. A line that was cut off by a crash is skipped."""
    for line in data.split(b"\n"):
        try:
            event = json.loads(line)
        except ValueError:
            continue
        if (
            isinstance(event, list)
            and len(event) == 3
            and event[1] == "o"
            and isinstance(event[2], str)
            and isinstance(event[0], int | float)
        ):
            yield float(event[0]), event[2]


def hits(file: io.BufferedReader, wanted: str) -> list[Hit]:
    """Return the first lines of a recording that contain the searched text, ignoring case. Raises OSError."""
    found: list[Hit] = []
    wanted = wanted.casefold()
    for at, line in _lines(file):
        shown = plain(line)
        if wanted in shown.casefold():
            found.append(Hit(at, shown[:300]))
            if len(found) == MAX_HITS:
                break
    return found


def _lines(file: io.BufferedReader) -> Iterator[tuple[float, str]]:
    """Yield each line with the time at which its output started."""
    line, began = "", 0.0
    file.seek(0)
    file.readline()
    for row in file:
        for at, text in events(row):
            first, *others = text.split("\n")
            began = began if line else at
            line += first
            for other in others:
                yield began, line
                line, began = other, at
    if line:
        yield began, line


def length_of(file: io.BufferedReader) -> float:
    """Return the time of a recording's last output in seconds. Raises OSError."""
    _, data = _tail(file)
    return max((at for at, _ in events(data)), default=0.0)
