"""Revoke an API token and the tokens created with it."""

from __future__ import annotations

import datetime as dt

from django.db import transaction

from accounts.actors import actor_of
from accounts.locks import lock_made_by
from accounts.models import APIToken, Identity, answered_for_by
from broker.audit.backlog import record_end
from broker.audit.events import Event
from broker.kernel.errors import NotFound


def revoke_token(*, token_id: int, actor: Identity, now: dt.datetime) -> APIToken:
    """Revoke a token that belongs to the actor or to a machine that the actor owns. Administrators can revoke
    any token. Tokens that were created with it are also revoked, recursively. Raises NotFound.
    """
    tokens = APIToken.objects.select_related("identity").filter(revoked_at__isnull=True)
    if not actor.is_superuser:
        tokens = tokens.filter(answered_for_by(actor, "identity"))
    with transaction.atomic():
        token = tokens.select_for_update(no_key=True, of=("self",)).filter(pk=token_id).first()
        if token is None:
            raise NotFound("Token not found.")
        family = [token, *lock_made_by([token.pk])]
        APIToken.objects.filter(pk__in=[one.pk for one in family]).update(revoked_at=now)
        for one in family:
            record_end(
                event=Event.IDENTITY_TOKEN_REVOKED,
                actor=actor_of(actor),
                object_type="identity",
                now=now,
                object_ref=one.identity.username,
                data={"token_id": one.pk},
            )
    token.revoked_at = now
    return token
