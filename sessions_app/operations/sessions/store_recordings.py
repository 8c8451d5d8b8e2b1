"""Move finished recordings from this machine's folder to the object store."""

from __future__ import annotations

import contextlib
import datetime as dt
import fcntl
import io
import tempfile
from collections.abc import Callable
from itertools import islice
from pathlib import Path

import structlog

from broker.kernel.crypto import place_of, seal
from sessions_app.models import CommandRun, StoredRecording
from sessions_app.operations.record.reconcile_recordings import BATCH, reconcile_recordings, runs_of
from sessions_app.queries.record.recording_files import recording_files
from sessions_app.storage.base import ObjectStore, StoreError
from sessions_app.storage.sealed import encrypt, new_key

# The prefix of recording objects in the store.
FOLDER = "recordings"

log = structlog.get_logger(__name__)


def store_recordings(*, folder: Path, store: ObjectStore, now: Callable[[], dt.datetime]) -> int:
    """Store every finished recording in ``folder`` encrypted, and remove its file.

    Return the number of stored recordings. Any number of processes may do this for one folder. First,
    recordings of lost gateways are recovered, and files that no run needs are removed. Files that a gateway
    still has open are skipped. If the store fails, StoreError is raised, and the remaining files wait.
    """
    if not folder.is_dir():
        return 0
    reconcile_recordings(folder=folder, now=now())
    files = recording_files(folder)
    stored = 0
    while batch := list(islice(files, BATCH)):
        finished = [run for run in runs_of(batch).values() if run.recording and not run.recording_purged_at]
        _note_waiting(finished, now())
        stored += sum(_store(run, folder, store, now) for run in sorted(finished, key=lambda run: run.pk))
    return stored


def _note_waiting(runs: list[CommandRun], now: dt.datetime) -> None:
    """Save how many recordings wait to be stored, and for how long, before the store is called."""
    StoredRecording.objects.bulk_create(
        [StoredRecording(run=run, waits_since=now) for run in runs], ignore_conflicts=True
    )


def _store(run: CommandRun, folder: Path, store: ObjectStore, now: Callable[[], dt.datetime]) -> bool:
    try:
        with (folder / run.recording).open("rb") as file:
            # A gateway locks the file while writing, and another process locks it while storing.
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return _move(run, file, folder, store, now)
    except (FileNotFoundError, BlockingIOError):
        return False
    except StoreError:
        raise
    except OSError as error:
        log.warning("recording.not_stored", run=run.pk, error=error.strerror)
        return False


def _move(
    run: CommandRun,
    file: io.BufferedReader,
    folder: Path,
    store: ObjectStore,
    now: Callable[[], dt.datetime],
) -> bool:
    row, size, path = StoredRecording.objects.get(run=run), file.seek(0, io.SEEK_END), folder / run.recording
    if row.stored_at is None or row.file_bytes != size:
        file.seek(0)
        with tempfile.TemporaryFile(dir=folder) as sealed:
            key = new_key()
            name = f"{FOLDER}/{encrypt(file, key, sealed)}"
            if row.object:
                # Remove files left behind by a process that died.
                store.delete(row.object)
            if not _intend(row, name, key):
                return False
            sealed.seek(0)
            store.put(name, sealed)
        if not _settle(row, name, size, now()):
            store.delete(name)
            return False
    path.unlink(missing_ok=True)
    with contextlib.suppress(OSError):
        # Only if this was the grant's last recording.
        path.parent.rmdir()
    return True


def _intend(row: StoredRecording, name: str, key: bytes) -> bool:
    """Save the name of the object before it is uploaded.

    Return False if the recording was purged in the meantime.
    """
    sealed_key = seal(key, place=place_of(row, "sealed_key"))
    rows = StoredRecording.objects.filter(run=row.run_id)
    return bool(rows.update(object=name, sealed_key=sealed_key, stored_at=None))


def _settle(row: StoredRecording, name: str, size: int, now: dt.datetime) -> bool:
    """Save that the object was uploaded. Return False if the recording was purged in the meantime."""
    rows = StoredRecording.objects.filter(run=row.run_id, object=name)
    return bool(rows.update(stored_at=now, file_bytes=size))
