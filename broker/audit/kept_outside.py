"""The file in which checkpoints are kept outside the database, so that who rewrites the database is found out.

Each checkpoint is appended with an empty line behind it. Copy the file to where nobody who owns the database can reach it.
"""

from __future__ import annotations

import os
from pathlib import Path

from django.conf import settings

# Room for the last few checkpoints.
_TAIL = 8192


def keep_outside(note: str) -> None:
    """Append a checkpoint and wait until the disk has it. Raises OSError."""
    path: Path = settings.CHECKPOINTS_FILE
    path.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        os.write(handle, f"{note}\n".encode())
        os.fsync(handle)
    finally:
        os.close(handle)


def last_kept() -> str | None:
    """Return the last whole checkpoint in the file, or None when there is none. Raises OSError."""
    path: Path = settings.CHECKPOINTS_FILE
    if not path.exists():
        return None
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - _TAIL))
        # What stands behind the last empty line was not written to its end.
        *parts, _torn = file.read().decode(errors="replace").split("\n\n")
    return f"{parts[-2]}\n\n{parts[-1]}\n" if len(parts) >= 2 else None
