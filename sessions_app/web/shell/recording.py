"""Recordings as pages show them (asciicast v2, https://docs.asciinema.org/manual/asciicast/v2/)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from django.utils.safestring import SafeString

from sessions_app.models import CommandRun
from sessions_app.queries.recorded import recording_file
from sessions_app.queries.recordings import recording_path
from sessions_app.web.shell.ansi import plain, render

# Reading stops there: a page is for looking, the file is for keeping.
MAX_BYTES = 256 * 1024
MAX_LINES = 400
MAX_CHARS = 64 * 1024
MAX_HITS = 100


@dataclass(frozen=True, slots=True)
class Output:
    """The last lines of a command's output, as HTML with classes alone and as text. ``cut``: there was more before."""

    html: SafeString
    text: str
    cut: bool
    size: int


@dataclass(frozen=True, slots=True)
class Hit:
    """One line of a recording in which a text was found, and when it was printed, in seconds."""

    at: float
    line: str


def output_of(recording: str) -> Output | None:
    """Return the last output in a recording, by its path below RECORDINGS_DIR; None when there is none to read."""
    path = recording_file(recording)
    if path is None:
        return None
    try:
        size, data = _tail(path)
    except OSError:
        return None
    text = "".join(event for _, event in events(data)).rstrip("\r\n")
    lines = text.split("\n")
    kept = "\n".join(lines[-MAX_LINES:])
    cut = len(lines) > MAX_LINES or size > MAX_BYTES or len(kept) > MAX_CHARS
    kept = kept[-MAX_CHARS:]
    return Output(render(kept), plain(kept), cut, size)


def output_of_run(run: CommandRun) -> Output | None:
    """Return the last output of a run, also while it runs; None when there is none to read."""
    return output_of(run.recording or (recording_path(run.grant.ref, run.pk) if run.started_at else ""))


def _tail(path: Path) -> tuple[int, bytes]:
    with path.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(max(0, size - MAX_BYTES))
        # The first line is the header, or was cut in two.
        file.readline()
        return size, file.read(MAX_BYTES)


def events(data: bytes) -> Iterator[tuple[float, str]]:
    """Return when and what was printed; a line that was cut off by a crash is left out."""
    for line in data.split(b"\n"):
        try:
            event = json.loads(line)
        except ValueError:
            continue
        if (
            isinstance(event, list) and len(event) == 3 and event[1] == "o"
            and isinstance(event[2], str) and isinstance(event[0], int | float)
        ):  # fmt: skip
            yield float(event[0]), event[2]


def hits(path: Path, wanted: str) -> list[Hit]:
    """Return the lines of a recording that hold a text, whatever its case, the first ones first. Raises OSError."""
    found: list[Hit] = []
    wanted = wanted.casefold()
    for at, line in _lines(path):
        shown = plain(line)
        if wanted in shown.casefold():
            found.append(Hit(at, shown[:300]))
            if len(found) == MAX_HITS:
                break
    return found


def _lines(path: Path) -> Iterator[tuple[float, str]]:
    """Return each line with the moment in which it began."""
    line, began = "", 0.0
    with path.open("rb") as file:
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


def length_of(path: Path) -> float:
    """Return when the last output of a recording was printed, in seconds. Raises OSError."""
    _, data = _tail(path)
    return max((at for at, _ in events(data)), default=0.0)
