"""End one running command, while its grant continues."""

from __future__ import annotations

import datetime as dt

from django.db import connection, transaction

from accounts.actors import actor_of
from accounts.models import Identity
from broker.audit.events import Event
from broker.audit.record import record
from broker.kernel.errors import Conflict, NotFound
from sessions_app.models import CommandRun, Grant, RunStop
from sessions_app.queries.gateways.watches import watchable

# Gateways listen to this channel of the database. The payload is the run's id.
NOTIFIES = "stint_stop"


class NothingToStop(Conflict):
    """The command is not running, or can't be ended separately. End the grant instead."""

    code = "nothing_to_stop"


def stop_run(*, run_id: int, actor: Identity, now: dt.datetime) -> CommandRun:
    """Make the gateway end a running command immediately. Ending a command twice changes nothing.

    Raises NotFound for a command of a grant that the actor can't end, and NothingToStop.
    """
    with transaction.atomic():
        run = (
            CommandRun.objects.filter(pk=run_id, grant__in=Grant.objects.endable_by(actor).values("pk"))
            .select_for_update(no_key=True, of=("self",))
            .select_related("grant__cluster", "target", "order")
            .first()
        )
        if run is None:
            raise NotFound("Command not found, or you can't end it.")
        if not watchable(run):
            raise NothingToStop(
                "The command is not running, or can't be ended separately.", hint="End the grant."
            )
        _, made = RunStop.objects.get_or_create(run=run, defaults={"by": actor, "at": now})
        if made:
            record(
                event=Event.COMMAND_STOPPED,
                actor=actor_of(actor),
                object_type="grant",
                object_ref=run.grant.ref,
                now=now,
                data={"run": run.pk, "argv": run.argv, "target": run.target.name},
            )
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_notify(%s, %s)", [NOTIFIES, str(run.pk)])
    return run
