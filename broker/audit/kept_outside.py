"""The file that keeps checkpoints outside the database, so that a rewrite of the database is detected.

Each checkpoint is followed by an empty line. Copy the file to a place that the database's owners can't reach.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from django.conf import settings

# Enough bytes for the last few checkpoints.
_TAIL = 8192
_GAP = b"\n\n"
_SIGNED = "— ".encode()


class _End(NamedTuple):
    """The last complete checkpoint, and the beginning of an incomplete one after it."""

    whole: bytes | None
    torn: bytes


def keep_outside(notes: Sequence[str]) -> None:
    """Append checkpoints, and wait until they are on disk. A partially written checkpoint is completed.

    Raises OSError. If this function is called again with the same checkpoints, it continues where it stopped.
    """
    path: Path = settings.CHECKPOINTS_FILE
    path.parent.mkdir(parents=True, exist_ok=True)
    text = "".join(f"{note}\n" for note in notes).encode()
    torn = _end().torn
    if not text.startswith(torn):
        raise OSError(
            f"{path} does not end with a checkpoint of this record. Keep the file, but move it elsewhere, or"
            " set STINT_CHECKPOINTS_FILE to a new one."
        )
    handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        rest = memoryview(text)[len(torn) :]
        while rest:
            rest = rest[os.write(handle, rest) :]
        os.fsync(handle)
    finally:
        os.close(handle)


def last_kept() -> str | None:
    """Return the last complete checkpoint in the file, or None if there is none. Raises OSError."""
    whole = _end().whole
    return None if whole is None else whole.decode(errors="replace")


def all_kept() -> list[str]:
    """Return every complete checkpoint in the file, the oldest first. Raises OSError."""
    path: Path = settings.CHECKPOINTS_FILE
    if not path.exists():
        return []
    parts = path.read_bytes().split(_GAP)
    pairs = zip(parts[::2], parts[1::2], strict=False)
    return [
        (text + _GAP + signed + b"\n").decode(errors="replace")
        for text, signed in pairs
        if signed.startswith(_SIGNED)
    ]


def name_aside(now: datetime) -> Path:
    """Return the new name of the file, for when a new file is started."""
    path: Path = settings.CHECKPOINTS_FILE
    return path.with_name(f"{path.name}.{now.astimezone(UTC):%Y%m%dT%H%M%SZ}")


def set_aside(name: Path) -> None:
    """Rename the file. The next checkpoint starts a new file. Raises OSError."""
    settings.CHECKPOINTS_FILE.rename(name)


def _end() -> _End:
    path: Path = settings.CHECKPOINTS_FILE
    if not path.exists():
        return _End(None, b"")
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - _TAIL))
        *parts, torn = file.read().split(_GAP)
    # The last part may be an incomplete checkpoint without a signature.
    if len(parts) == 1 or (len(parts) > 2 and parts[-2].startswith(_SIGNED)):
        torn = parts.pop() + _GAP + torn
    return _End(parts[-2] + _GAP + parts[-1] + b"\n" if len(parts) >= 2 else None, torn)
