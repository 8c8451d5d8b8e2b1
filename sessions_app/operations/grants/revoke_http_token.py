"""Revoke a grant's token, identified by its text (RFC 7009). The grant continues."""

from __future__ import annotations

import datetime as dt

from django.db import transaction

from accounts.actors import actor_of
from broker.audit.backlog import record_end
from broker.audit.events import Event
from broker.kernel.crypto import token_digest
from broker.kernel.errors import NotFound
from sessions_app.models import GrantCredential


def revoke_http_token(*, text: str, now: dt.datetime) -> GrantCredential:
    """Revoke the token with this text. No other authorization is needed. Raises NotFound."""
    with transaction.atomic():
        live = GrantCredential.objects.select_for_update(no_key=True, of=("self",)).select_related(
            "grant__holder"
        )
        found = live.filter(digest=token_digest(text), revoked_at__isnull=True).first()
        if found is None:
            raise NotFound("Token not found.")
        found.revoked_at = now
        found.save(update_fields=["revoked_at"])
        record_end(
            event=Event.CREDENTIAL_REVOKED,
            actor=actor_of(found.grant.holder),
            object_type="grant",
            object_ref=found.grant.ref,
            now=now,
            data={},
        )
    return found
