"""Record that a person watches a recording."""

from __future__ import annotations

import datetime as dt

from django.db import connection, transaction

from accounts.actors import actor_of
from accounts.models import Identity
from broker.audit.events import Event
from broker.audit.models import AuditEntry
from broker.audit.record import record
from broker.kernel.errors import NotFound
from sessions_app.models import CommandRun

# Everything that a person opens of one recording within this time counts as one viewing: the page, the file,
# a search, a position.
VISIT = dt.timedelta(minutes=10)


def watch_recording(*, run_id: int, actor: Identity, now: dt.datetime, running: bool = False) -> CommandRun:
    """Return a run whose recording the actor may watch. The viewing is recorded once.

    With ``running``, the run has no recording yet, and its output so far is read. Raises NotFound for a run
    that the actor can't see, or that has no recording.
    """
    with transaction.atomic():
        run = (
            CommandRun.objects.visible_to(actor)
            .select_related("grant__holder", "grant__cluster", "target")
            .filter(pk=run_id)
            .exclude(**({} if running else {"recording": ""}))
            .first()
        )
        if run is None:
            raise NotFound("Recording not found.")
        if not _visiting(run, actor, now):
            record(
                event=Event.RECORDING_WATCHED,
                actor=actor_of(actor),
                object_type="grant",
                object_ref=run.grant.ref,
                now=now,
                data={"run": run.pk, "target": run.target.name, "recording_sha256": run.recording_digest},
            )
    return run


def _visiting(run: CommandRun, actor: Identity, now: dt.datetime) -> bool:
    """Whether the record already has an entry for this viewing.

    The page and the player send requests at the same time, so one of them waits for the other.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_advisory_xact_lock(hashtextextended(%s, %s))", [f"watch {actor.pk}", run.pk]
        )
    entries = AuditEntry.objects.filter(
        event=Event.RECORDING_WATCHED.value,
        actor_id=actor.pk,
        object_type="grant",
        object_ref=run.grant.ref,
        at__gt=now - VISIT,
    )
    return any(entry.data.get("run") == run.pk for entry in entries.order_by("-seq")[:200])
