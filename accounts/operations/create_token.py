"""Make an API token."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable

from django.db import transaction

from accounts.actors import actor_of
from accounts.factors import ensure_recently_proven
from accounts.models import APIToken, Identity, Scope
from accounts.queries import may_give_credentials
from broker.audit.events import Event
from broker.audit.record import record
from broker.kernel.crypto import new_token, token_digest
from broker.kernel.errors import Forbidden, InvalidInput, NotFound
from broker.kernel.text import checked_text

LONGEST = dt.timedelta(days=90)


def create_token(
    *,
    identity_id: int,
    label: str,
    scopes: Iterable[str],
    lifetime: dt.timedelta,
    actor: Identity,
    now: dt.datetime,
    workflow: str = "",
) -> tuple[APIToken, str]:
    """Make a token for oneself or a machine one owns; return it with its text, which is shown this once.

    ``workflow`` is the reference of the workflow that all its requests are bound to.

    Raises InvalidInput for unknown or no scopes, no or a too long label, or a lifetime over 90 days; Forbidden for others' tokens, NotFound;
    ProofNeeded.
    """
    wanted = sorted(set(scopes))
    if not wanted or not set(wanted) <= set(Scope.values):
        raise InvalidInput(
            "Select at least one scope.", fields={"scopes": [f"Some of: {', '.join(Scope.values)}."]}
        )
    if not dt.timedelta(0) < lifetime <= LONGEST:
        raise InvalidInput(
            "A token can be valid for at most 90 days.", fields={"lifetime": ["Choose 1 to 90 days."]}
        )
    label = checked_text(label, field="label", longest=100)
    if not label:
        raise InvalidInput("Give the token a name.", fields={"label": ["Needed."]})
    identity = Identity.objects.filter(pk=identity_id).first()
    if identity is None:
        raise NotFound("Identity not found.")
    if not may_give_credentials(actor, identity):
        raise Forbidden("You can't create tokens for another person.")
    ensure_recently_proven(actor, now)
    text = new_token("stint")
    with transaction.atomic():
        token = APIToken.objects.create(
            identity=identity, label=label, hint=text[:10], digest=token_digest(text), scopes=wanted, workflow=workflow,
            created_at=now, expires_at=now + lifetime,
        )  # fmt: skip
        record(
            event=Event.IDENTITY_TOKEN_CREATED, actor=actor_of(actor), object_type="identity", now=now,
            object_ref=identity.username,
            data={
                "token_id": token.pk, "scopes": wanted, "expires_at": token.expires_at.isoformat(),
                **({"workflow": workflow} if workflow else {}),
            },
        )  # fmt: skip
    return token, text
