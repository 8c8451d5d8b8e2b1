"""End all grants of one identity together, without disabling the identity."""

from __future__ import annotations

import datetime as dt

from django.db import transaction

from accounts.actors import actor_of
from accounts.models import Identity, answers_for
from broker.audit.backlog import record_end
from broker.audit.events import Event
from broker.kernel.errors import NotFound
from broker.kernel.text import checked_text, recordable
from sessions_app.models import EndReason, Grant, GrantState
from sessions_app.operations.grants.end_grant import end_grant
from sessions_app.operations.grants.lock_to_end import AT_ONCE, lock_to_end


class NothingToEnd(NotFound):
    """The identity does not exist, or has no grants that you can end."""

    code = "nothing_to_end"


def end_all_of(*, identity_id: int, actor: Identity, now: dt.datetime, note: str = "") -> list[Grant]:
    """End every grant of one identity that the actor is allowed to end. Running commands are cut.

    The identity's machines keep their grants. Grants that the actor holds or owns end as RELEASED, all others
    as REVOKED. For grants that are already ending, commands that could still finish are also cut. Raises
    NothingToEnd, InvalidInput.
    """
    checked_text(note, field="note")
    with transaction.atomic():
        found = Grant.objects.endable_by(actor).not_ended().filter(holder=identity_id)
        # Lock all grants before the first one ends, because the record entry about that end locks the
        # record until the commit.
        lock_to_end(grant_ids=found.values_list("pk", flat=True))
        grants = list(Grant.objects.not_ended().filter(pk__in=found.values("pk")).order_by("pk"))
        holder = Identity.objects.filter(pk=identity_id).first()
        if holder is None or not grants:
            raise NothingToEnd("This identity holds no grants that you can end.")
        own = answers_for(actor, holder)
        reason = EndReason.RELEASED if own else EndReason.REVOKED
        ended = [
            end_grant(grant_id=grant.pk, actor=actor, reason=reason, now=now, note=note, patience=AT_ONCE)
            for grant in grants
        ]
        record_end(
            event=Event.IDENTITY_GRANTS_ENDED,
            actor=actor_of(actor),
            object_type="identity",
            object_ref=holder.username,
            now=now,
            data={
                "grants": [grant.ref for grant in grants if grant.state != GrantState.REVOKING],
                "note": recordable(note.strip()),
            },
        )
    return ended
