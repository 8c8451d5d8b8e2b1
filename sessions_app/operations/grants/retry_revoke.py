"""Retry an unconfirmed revocation immediately, instead of at its next scheduled attempt."""

from __future__ import annotations

import datetime as dt

from django.db import transaction

from accounts.actors import actor_of
from accounts.models import Identity
from broker.audit.events import Event
from broker.audit.record import record
from broker.kernel.enqueue import enqueue
from broker.kernel.errors import NotFound
from sessions_app.models import Grant, GrantState


def retry_revoke(*, grant_id: int, actor: Identity, now: dt.datetime) -> Grant:
    """Retry the revocation of an ending grant on its targets immediately.

    A grant that has ended does not change. Raises NotFound.
    """
    with transaction.atomic():
        grant = Grant.objects.endable_by(actor).filter(pk=grant_id).first()
        if grant is None:
            raise NotFound("Grant not found, or you can't end it.")
        waits = Grant.objects.filter(pk=grant.pk, state=GrantState.REVOKING, next_attempt_at__gt=now)
        # Only if no process is calling the targets, because that process would otherwise lose its claim.
        if not grant.leases.filter(asked_at__isnull=False).exists() and waits.update(next_attempt_at=now):
            record(
                event=Event.GRANT_REVOKE_FAILING,
                actor=actor_of(actor),
                object_type="grant",
                object_ref=grant.ref,
                now=now,
                data={"retry": True},
            )
            enqueue("grants.deprovision", grant_id=grant.pk)
    grant.refresh_from_db()
    return grant
