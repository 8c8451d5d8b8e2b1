"""Recover the recording of a run whose gateway never reported it.

The file itself contains all necessary data.
"""

from __future__ import annotations

import datetime as dt
import fcntl
import io
from pathlib import Path

from django.db import transaction

from broker.audit.actor import Actor
from broker.audit.backlog import record_end
from broker.audit.events import Event
from sessions_app.models import CommandRun
from sessions_app.queries.record.recording_content import digest_of, output_from
from sessions_app.queries.record.recording_files import QUIET, changed_at, recording_path

FINDER = Actor.system("recordings")


def recover_recording(*, run: CommandRun, folder: Path, now: dt.datetime) -> bool:
    """Store the recording's digest and size in the run and the record.

    Return whether there was a recording to recover.

    Skips a file that may still be written to, or that another process has already recovered. Removes an empty
    file. Raises OSError.
    """
    path = recording_path(run.grant.ref, run.pk)
    file = folder / path
    if not file.is_file() or changed_at(file) > now - QUIET or _is_open(file):
        return False
    if not file.stat().st_size:
        file.unlink()
        return False
    with file.open("rb") as opened:
        digest, printed, size = digest_of(opened), _printed(opened), opened.tell()
    with transaction.atomic():
        found = CommandRun.objects.unreported().select_for_update(of=("self",), skip_locked=True, no_key=True)
        waiting = found.filter(pk=run.pk).select_related("grant", "target").first()
        if waiting is None:
            return False
        take_recording(
            run=waiting,
            path=path,
            digest=digest,
            file_bytes=size,
            # The size of a statement's result is known already.
            output_bytes=waiting.output_bytes or printed,
            now=now,
        )
    return True


def _is_open(file: Path) -> bool:
    """Whether a gateway still writes the file. A connection can be quiet for long."""
    with file.open("rb") as opened:
        try:
            fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def take_recording(
    *, run: CommandRun, path: str, digest: str, file_bytes: int, output_bytes: int, now: dt.datetime
) -> None:
    """Add a recording to a run that ended without one, in the caller's transaction. The recording
    then counts toward limits.
    """
    run.recording, run.recording_digest = path, digest
    run.recording_bytes, run.output_bytes = file_bytes, output_bytes
    run.save(update_fields=["recording", "recording_digest", "recording_bytes", "output_bytes"])
    record_end(
        event=Event.RECORDING_RECOVERED,
        actor=FINDER,
        object_type="grant",
        object_ref=run.grant.ref,
        now=now,
        data={
            "run": run.pk,
            "target": run.target.name,
            "state": run.state,
            "recording": path,
            "recording_sha256": digest,
            "recording_bytes": file_bytes,
        },
    )


def _printed(file: io.BufferedReader) -> int:
    """Return how many bytes the command printed.

    Carriage returns that the recording adds before newlines don't count.
    """
    size = 0
    start: int | None = 0
    while start is not None:
        text, start = output_from(file, start)
        size += len(text.replace("\r\n", "\n").encode())
    return size
