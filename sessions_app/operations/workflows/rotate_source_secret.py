"""Rotate the webhook secret of a source."""

from __future__ import annotations

import base64
import datetime as dt
import secrets

from django.db import transaction

from accounts.actors import actor_of
from accounts.models import Identity
from broker.audit.events import Event
from broker.audit.record import record
from broker.kernel.errors import NotFound
from sessions_app.models import WorkflowSource
from sessions_app.operations.workflows.workflow_sources import Secrets, sealed, secrets_of

# Both the new and the previous secret are accepted, so that the source can be updated in the meantime.
KEPT = 2


def rotate_source_secret(*, name: str, actor: Identity, now: dt.datetime) -> str:
    """Return a new secret, shown only once, that verifies deliveries from now on.

    The previous secret stays valid until the next rotation. Only Stint administrators may do this. Raises
    NotFound, CannotDecrypt.
    """
    with transaction.atomic():
        rows = WorkflowSource.objects.live().administered_by(actor)
        source = rows.select_for_update(no_key=True).filter(name=name).first()
        if source is None:
            raise NotFound("Workflow source not found.")
        before = secrets_of(source)
        new = "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()
        source.sealed = sealed(Secrets(before.parameters, (new, *before.webhook)[:KEPT]), source)
        source.changed_at = now
        source.save(update_fields=["sealed", "changed_at"])
        record(
            event=Event.SOURCE_SECRET_ROTATED,
            actor=actor_of(actor),
            object_type="workflow_source",
            object_ref=name,
            now=now,
            data={},
        )
    return new
