"""Suspend a grant under which a transaction has written without a statement that was allowed to."""

from __future__ import annotations

import datetime as dt

from django.db import transaction

from broker.audit.actor import Actor
from broker.audit.events import Event
from broker.audit.record import record
from sessions_app.models import Asks, Grant
from sessions_app.operations.grants.lock_descendants import lock_descendants
from sessions_app.operations.notifications.notify import notify
from sessions_app.queries.requests.deciders import administrators, deciders_in

_GATEWAY = Actor.system("gateway")
_NOTE = "a transaction on {} changed data, and no statement in it was allowed to"


def suspend_unapproved_write(*, grant_id: int, target: str, now: dt.datetime) -> Grant:
    """Suspend a grant, and notify its approvers and the administrators.

    The gateway has rolled the transaction on this target back. It is an attack, a fault of Stint, or a read
    that writes, such as a view with a function.
    """
    note = _NOTE.format(target)
    with transaction.atomic():
        grant = Grant.objects.select_for_update(no_key=True, of=("self",)).get(pk=grant_id)
        lock_descendants(grant_ids=[grant.pk])
        if grant.held_at is None:
            grant.held_at, grant.held_note = now, note
            grant.save(update_fields=["held_at", "held_note"])
        record(
            event=Event.GRANT_HELD,
            actor=_GATEWAY,
            object_type="grant",
            object_ref=grant.ref,
            now=now,
            data={"note": note},
        )
        people = {one.pk: one for one in (*deciders_in(grant), *administrators(but=[grant.holder]))}
        notify(
            people=people.values(),
            event=Event.GRANT_HELD,
            now=now,
            path=f"/grants/{grant.ref}/",
            asks=Asks.RELEASE,
            of=grant,
            subject=f"{grant.ref} was suspended: unapproved changes on {target}",
            body=(
                f"Under {grant.holder}'s access to {grant.cluster}, {note}. It was rolled back. This is an"
                " attack, a fault of Stint, or a read that writes, such as a view with a function. Nothing"
                " new runs until the grant is resumed."
            ),
        )
    return grant
