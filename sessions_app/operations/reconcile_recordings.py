"""Compare the files of recordings with the runs that they are of: what is left over is removed, what was missed is taken in."""

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
from sessions_app.operations.recover_recording import FINDER, recover_recording
from sessions_app.queries.recorded import digest_of
from sessions_app.queries.recordings import changed_at, recording_files, recording_path, run_of

# So many files are looked at with one question to the database.
BATCH = 1000

log = structlog.get_logger(__name__)


def reconcile_recordings(*, folder: Path, now: dt.datetime) -> int:
    """Look at every recording in ``folder`` and return how many were taken in or removed.

    One that no run knows, as after a restored backup, is removed once it is older than the installation keeps
    recordings, with an entry that has its digest. One that was purged, and is there again, is removed at once. A file that
    is not named as recordings are is nobody's business here. Does nothing where the folder is not there.
    """
    if not folder.is_dir():
        return 0
    files = recording_files(folder)
    done = 0
    while batch := list(islice(files, BATCH)):
        runs = _runs_of(batch)
        done += sum(_settle(path, runs, folder, now) for path in batch)
    return done


def _runs_of(paths: Sequence[str]) -> Mapping[str, CommandRun]:
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
    _write_down(path, file, now)
    file.unlink(missing_ok=True)
    return True


@transaction.atomic
def _write_down(path: str, file: Path, now: dt.datetime) -> None:
    """Say in the record what is about to be removed, unless a process that died in between has said so."""
    said = AuditEntry.objects.filter(
        object_ref=path, object_type="recording", event=Event.RECORDING_PURGED.value
    )
    if not said.exists():
        record(
            event=Event.RECORDING_PURGED, actor=FINDER, object_type="recording", object_ref=path, now=now,
            data={"recording_sha256": digest_of(file), "recording_bytes": file.stat().st_size},
        )  # fmt: skip
