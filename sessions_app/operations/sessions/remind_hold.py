"""Remind the people who can allow a held command."""

from __future__ import annotations

import datetime as dt

from django.db import transaction

from accounts.actors import actor_of
from accounts.models import Identity
from broker.audit.events import Event
from broker.audit.record import record
from broker.kernel.errors import Conflict
from sessions_app.models import CommandRun, Notice
from sessions_app.operations.notifications.notify_of_hold import notify_people_of_hold
from sessions_app.operations.sessions.withdraw_hold import lock_own_hold
from sessions_app.queries.requests.deciders import deciders_in

EVERY = dt.timedelta(minutes=1)


class RemindedAlready(Conflict):
    """Approvers were notified less than a minute ago. Wait, and try again."""

    code = "reminded_already"


def remind_hold(*, run_id: int, actor: Identity, now: dt.datetime) -> CommandRun:
    """Notify everyone who can allow a held command again, at most once a minute.

    The command must belong to the actor, or to a machine that the actor owns. Raises NotFound (no such
    command), AlreadyDecided (no longer waiting), RemindedAlready.
    """
    with transaction.atomic():
        run = lock_own_hold(run_id, actor, now)
        people = deciders_in(run.grant)
        told = Notice.objects.filter(
            identity__in=people, sender__isnull=False, grant=run.grant, created_at__gt=now - EVERY
        )
        if run.tried_at > now - EVERY or told.exists():
            raise RemindedAlready(
                "Approvers were notified less than a minute ago.", hint="Try again in a minute."
            )
        notify_people_of_hold(run, people, now, again=True)
        record(
            event=Event.COMMAND_REMINDED,
            actor=actor_of(actor),
            object_type="grant",
            object_ref=run.grant.ref,
            now=now,
            data={"run": run.pk, "target": run.target.name, "notified": len(people)},
        )
    return run
