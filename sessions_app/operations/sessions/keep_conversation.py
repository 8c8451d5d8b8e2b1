"""Keep the recording of a connection with the first statement that ran on it."""

from __future__ import annotations

import datetime as dt

from django.db import transaction

from broker.audit.actor import Actor
from broker.audit.backlog import record_end
from broker.audit.events import Event
from sessions_app.models import CommandRun


def keep_conversation(
    *, run_id: int, recording: str, recording_digest: str, recording_bytes: int, now: dt.datetime
) -> None:
    """Store the path, the SHA-256 digest and the size of a finished recording in a run, and in the record.

    A recording that was purged in the meantime, or that is already stored, does not change.
    """
    with transaction.atomic():
        run = (
            CommandRun.objects.select_for_update(no_key=True, of=("self",))
            .select_related("grant", "target")
            .filter(pk=run_id, recording_purged_at__isnull=True)
            .exclude(recording_digest=recording_digest)
            .first()
        )
        if run is None:
            return
        run.recording, run.recording_digest = recording, recording_digest
        run.recording_bytes = recording_bytes
        run.save(update_fields=["recording", "recording_digest", "recording_bytes"])
        record_end(
            event=Event.CONVERSATION_RECORDED,
            actor=Actor.system("gateway"),
            object_type="grant",
            object_ref=run.grant.ref,
            now=now,
            data={
                "run": run.pk,
                "session": run.session_id,
                "target": run.target.name,
                "recording": recording,
                "recording_sha256": recording_digest,
                "recording_bytes": recording_bytes,
            },
        )
