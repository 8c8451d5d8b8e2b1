"""Remove an SSH public key."""

from __future__ import annotations

import datetime as dt

from django.db import transaction

from accounts.actors import actor_of
from accounts.models import Identity, SSHPublicKey, answered_for_by
from broker.audit.backlog import record_end
from broker.audit.events import Event
from broker.kernel.errors import NotFound


def remove_ssh_key(*, key_id: int, actor: Identity, now: dt.datetime) -> SSHPublicKey:
    """Remove a key that belongs to the actor or to a machine that the actor owns. Administrators can remove
    any key. Raises NotFound.
    """
    keys = SSHPublicKey.objects.select_related("identity").filter(removed_at__isnull=True)
    if not actor.is_superuser:
        keys = keys.filter(answered_for_by(actor, "identity"))
    with transaction.atomic():
        key = keys.select_for_update(no_key=True, of=("self",)).filter(pk=key_id).first()
        if key is None:
            raise NotFound("Key not found.")
        key.removed_at = now
        key.save(update_fields=["removed_at"])
        record_end(
            event=Event.IDENTITY_KEY_REMOVED,
            actor=actor_of(actor),
            object_type="identity",
            now=now,
            object_ref=key.identity.username,
            data={"fingerprint": key.fingerprint},
        )
    return key
