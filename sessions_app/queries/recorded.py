"""The content of a recording (asciicast v2, https://docs.asciinema.org/manual/asciicast/v2/), as it was written."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from django.conf import settings

# How much of a file is read at once. Its lines are far shorter.
CHUNK_BYTES = 256 * 1024


def recording_file(recording: str) -> Path | None:
    """Return the file of a recording, by its path below RECORDINGS_DIR; None if there is no such file."""
    root = Path(settings.RECORDINGS_DIR).resolve()
    path = (root / recording).resolve()
    return path if recording and path.is_file() and path.is_relative_to(root) else None


def digest_of(file: Path) -> str:
    """Return the SHA-256 of a file in hex. Raises OSError."""
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def output_from(path: Path, start: int) -> tuple[str, int | None]:
    """Return the output in a recording's lines from the byte ``start`` on, and the byte to continue at; None at the
    end.

    The output is what the command wrote, including terminal control sequences. A line that a crash cut off is left out.
    Raises OSError.
    """
    with path.open("rb") as file:
        file.seek(start)
        lines = file.readlines(CHUNK_BYTES)
        end = file.tell()
        following = end if file.read(1) else None
    text = "".join(_output(line) for line in lines)
    # An escaped half of a surrogate pair is valid JSON, but not valid text.
    return text.encode("utf-8", "replace").decode(), following


def _output(line: bytes) -> str:
    try:
        event = json.loads(line)
    except ValueError:
        return ""
    is_output = isinstance(event, list) and len(event) == 3 and event[1] == "o" and isinstance(event[2], str)
    return event[2] if is_output else ""
