"""Compare recording files with their runs. Remove files that no run needs, and recover missed recordings."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from itertools import islice
from pathlib import Path

import structlog
from django.conf import settings
from django.db import transaction

from broker.audit.events import Event
from broker.audit.models import AuditEntry
from broker.audit.record import record
from sessions_app.models import CommandRun
from sessions_app.operations.record.recover_recording import FINDER, recover_recording
from sessions_app.queries.record.recording_content import digest_of
from sessions_app.queries.record.recording_files import changed_at, recording_files, recording_path, run_of

# The most files per database query.
BATCH = 1000

log = structlog.get_logger(__name__)


def reconcile_recordings(*, folder: Path, now: dt.datetime) -> int:
    """Check every recording in ``folder``. Return how many were recovered or removed.

    A file of an unknown run, for example after a backup was restored, is removed once it is older than the
    retention time of recordings. Before the removal, an entry with the file's digest is appended to the
    record. If the file of a purged recording reappears, it is removed immediately. Files that are not named
    like recordings are ignored. Does nothing if the folder does not exist.
    """
    if not folder.is_dir():
        return 0
    files = recording_files(folder)
    done = 0
    while batch := list(islice(files, BATCH)):
        runs = runs_of(batch)
        done += sum(_settle(path, runs, folder, now) for path in batch)
    return done


def runs_of(paths: Sequence[str]) -> Mapping[str, CommandRun]:
    """Return the runs whose recordings have these paths, by path, each with its grant."""
    found = CommandRun.objects.filter(pk__in=[run_of(path) for path in paths]).select_related("grant")
    return {recording_path(run.grant.ref, run.pk): run for run in found}


def _settle(path: str, runs: Mapping[str, CommandRun], folder: Path, now: dt.datetime) -> bool:
    run, file = runs.get(path), folder / path
    try:
        if run is None:
            return _remove_orphan(path, file, now)
        if run.recording_purged_at is not None and not run.recording_bytes:
            file.unlink(missing_ok=True)
            return True
        return not run.recording and recover_recording(run=run, folder=folder, now=now)
    except OSError as error:
        log.warning("recording.not_settled", recording=path, error=error.strerror)
        return False


def _remove_orphan(path: str, file: Path, now: dt.datetime) -> bool:
    if changed_at(file) > now - dt.timedelta(days=settings.RECORDINGS_DAYS):
        return False
    _record_purge(path, file, now)
    file.unlink(missing_ok=True)
    return True


@transaction.atomic
def _record_purge(path: str, file: Path, now: dt.datetime) -> None:
    """Record that a file is about to be removed, unless a process that then died has already recorded
    the removal.
    """
    said = AuditEntry.objects.filter(
        object_ref=path, object_type="recording", event=Event.RECORDING_PURGED.value
    )
    if said.exists():
        return
    with file.open("rb") as opened:
        record(
            event=Event.RECORDING_PURGED,
            actor=FINDER,
            object_type="recording",
            object_ref=path,
            now=now,
            data={"recording_sha256": digest_of(opened), "recording_bytes": opened.tell()},
        )
