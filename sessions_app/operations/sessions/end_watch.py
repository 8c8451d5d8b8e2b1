"""Record that a person no longer watches a running command."""

from __future__ import annotations

import datetime as dt

from django.db import connection, transaction

from accounts.actors import actor_of
from broker.audit.backlog import record_end
from broker.audit.events import Event
from sessions_app.models import Watch
from sessions_app.operations.sessions.watch_run import NOTIFIES

# A live view that its process has not confirmed for this long has ended with that process.
LOST_AFTER = dt.timedelta(seconds=30)


def end_watch(*, watch_id: int, reason: str, now: dt.datetime) -> None:
    """End a live view. The gateway stops publishing output for it. A view that has already ended does not
    change.
    """
    with transaction.atomic():
        watch = (
            Watch.objects.select_for_update(no_key=True, of=("self",))
            .select_related("run__grant", "run__target", "watcher")
            .filter(pk=watch_id)
            .first()
        )
        if watch is None:
            return
        run, seconds = watch.run, max(0, round((now - watch.began_at).total_seconds()))
        watch.delete()
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_notify(%s, %s)", [NOTIFIES, str(run.pk)])
        record_end(
            event=Event.COMMAND_WATCH_ENDED,
            actor=actor_of(watch.watcher),
            object_type="grant",
            object_ref=run.grant.ref,
            now=now,
            data={"run": run.pk, "target": run.target.name, "seconds": seconds, "reason": reason},
        )


def end_lost_watches(*, now: dt.datetime) -> int:
    """End the live views of processes that died, and return the number of views."""
    lost = list(Watch.objects.filter(seen_at__lt=now - LOST_AFTER).values_list("pk", flat=True)[:100])
    for pk in lost:
        end_watch(watch_id=pk, reason="lost", now=now)
    return len(lost)
