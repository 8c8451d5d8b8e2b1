"""Recorded output as text that is safe to show."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path

from django.conf import settings

# Reading stops there: a page is for looking, the file is for keeping.
MAX_BYTES = 256 * 1024
MAX_LINES = 400

# ECMA-48 control sequences, OSC and other string sequences, two-byte escapes, and what is left of the C0 and C1 controls.
_ESCAPES = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]|[\x90\x98\x9d\x9e\x9f].*?(?:\x07|\x1b\\|\x9c|$)|\x1b[P\]X^_].*?(?:\x07|\x1b\\|\x9c|$)"
    r"|\x9b[0-?]*[ -/]*[@-~]|\x1b[ -/]*[0-~]?",
    re.DOTALL,
)
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
# Characters that reorder or hide text (Unicode TR 36): a log line must read as it was written.
_HIDING = re.compile("[\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]")


@dataclass(frozen=True, slots=True)
class Output:
    """The last lines of a command's output. ``cut`` says that there was more before them."""

    text: str
    lines: int
    cut: bool


def plain(text: str) -> str:
    """Return terminal output as plain text: no escape sequences, no controls but newline and tab, nothing hidden.

    A carriage return starts its line again, as on a terminal. The result is text; templates escape it for HTML.
    """
    text = _ESCAPES.sub("", text).replace("\r\n", "\n")
    text = "\n".join(_overwritten(line) for line in text.split("\n"))
    return _HIDING.sub("\N{REPLACEMENT CHARACTER}", _CONTROLS.sub("", text))


def _overwritten(line: str) -> str:
    shown = ""
    for part in line.split("\r"):
        shown = part + shown[len(part) :]
    return shown


def output_of(recording: str) -> Output | None:
    """Return the output in a recording (asciicast v2, by its path below RECORDINGS_DIR); None when there is none to read."""
    path = _inside(recording)
    if path is None:
        return None
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError:
        return None
    text = plain("".join(_events(data[:MAX_BYTES].decode("utf-8", "replace").split("\n")[1:])))
    lines = text.rstrip("\n").split("\n")
    return Output("\n".join(lines[-MAX_LINES:]), len(lines), len(lines) > MAX_LINES or len(data) > MAX_BYTES)


def _events(lines: list[str]) -> list[str]:
    """Return the texts of the output events; a line that was cut off by a crash is left out."""
    found = []
    for line in lines:
        try:
            event = json.loads(line)
        except ValueError:
            continue
        if isinstance(event, list) and len(event) == 3 and event[1] == "o" and isinstance(event[2], str):
            found.append(event[2])
    return found


def _inside(recording: str) -> Path | None:
    root = Path(settings.RECORDINGS_DIR).resolve()
    path = (root / recording).resolve()
    return path if recording and path.is_file() and path.is_relative_to(root) else None
