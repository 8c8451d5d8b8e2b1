"""Read the content of recordings.

Source: asciicast v2, https://docs.asciinema.org/manual/asciicast/v2/.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import structlog
from django.conf import settings

from broker.kernel.crypto import place_of, unseal
from broker.kernel.errors import Unavailable
from sessions_app.models import CommandRun, StoredRecording
from sessions_app.storage.base import ObjectStore, StoreError
from sessions_app.storage.registry import store_at
from sessions_app.storage.sealed import opened

# The number of bytes that are read at a time, far more than the length of a line.
CHUNK_BYTES = 256 * 1024

log = structlog.get_logger(__name__)


def object_store() -> ObjectStore:
    """Return the object store for recordings.

    Raises StoreError, including if no store is configured and recordings stay in RECORDINGS_DIR.
    """
    if not settings.RECORDINGS_STORE:
        raise StoreError("STINT_RECORDINGS_STORE is not set")
    return store_at(settings.RECORDINGS_STORE)


def open_recording(run: CommandRun) -> io.BufferedReader | None:
    """Return the recording of a run as a seekable file; None if it is neither on this machine nor in the
    store.

    Opening and reading raise CannotDecrypt or OSError: StoreError if the store does not respond, Altered
    if the stored object was altered.
    """
    return open_file(run.recording) or _open_stored(run)


def readable(run: CommandRun) -> io.BufferedReader | None:
    """Return the recording, like `open_recording`.

    Raises CannotDecrypt, and Unavailable if it can't be read now.
    """
    with said_unavailable():
        return open_recording(run)


@contextmanager
def said_unavailable() -> Iterator[None]:
    """Convert an OSError during the reading of a recording to Unavailable, which every entry point can
    return.
    """
    try:
        yield
    except OSError as error:
        log.warning("recording.unreadable", error=error.strerror)
        raise Unavailable("The recording can't be read now.", hint="Try again in a moment.") from error


def open_file(recording: str) -> io.BufferedReader | None:
    """Return a recording's file, by its path below RECORDINGS_DIR; None if there is no such file.

    Raises OSError.
    """
    root = Path(settings.RECORDINGS_DIR).resolve()
    path = (root / recording).resolve()
    if not recording or not path.is_relative_to(root):
        return None
    try:
        return path.open("rb")
    except (FileNotFoundError, IsADirectoryError):
        return None


def _open_stored(run: CommandRun) -> io.BufferedReader | None:
    stored = StoredRecording.objects.filter(run=run, stored_at__isnull=False).first()
    if stored is None:
        return None
    key = unseal(bytes(stored.sealed_key), place=place_of(stored, "sealed_key"))
    return opened(object_store(), stored.object, key)


def digest_of(file: io.BufferedReader) -> str:
    """Return the SHA-256 of a whole file in hex. Raises OSError."""
    file.seek(0)
    return hashlib.file_digest(file, "sha256").hexdigest()


def output_from(file: io.BufferedReader, start: int) -> tuple[str, int | None]:
    """Return the output in a recording's lines from the byte ``start`` on, and the byte to continue at; None
    at the end.

    The output is what the command wrote, including terminal control sequences. A line truncated by a crash is
    left out. Raises OSError.
    """
    file.seek(start)
    lines = file.readlines(CHUNK_BYTES)
    end = file.tell()
    following = end if file.read(1) else None
    text = "".join(_output(line) for line in lines)
    # An escaped lone surrogate is valid JSON, but not valid text.
    return text.encode("utf-8", "replace").decode(), following


def _output(line: bytes) -> str:
    try:
        event = json.loads(line)
    except ValueError:
        return ""
    is_output = isinstance(event, list) and len(event) == 3 and event[1] == "o" and isinstance(event[2], str)
    return event[2] if is_output else ""
