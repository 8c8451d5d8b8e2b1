"""Revoke the tokens that a trust policy issued."""

from __future__ import annotations

import datetime as dt

from accounts.models import APIToken
from broker.audit.actor import Actor
from broker.audit.backlog import record_end
from broker.audit.events import Event
from sessions_app.models import TrustPolicy
from sessions_app.queries.identities.machine_tokens import live_given


def revoke_issued_tokens(*, policy: TrustPolicy, actor: Actor, now: dt.datetime) -> int:
    """Revoke every valid token that machines received through the trust policy, and return the number of
    tokens.

    Call this in the transaction that changes the policy.
    """
    # Lock first. A concurrent token exchange has then either finished, so its token is found here, or sees
    # the changed policy.
    TrustPolicy.objects.select_for_update(no_key=True).get(pk=policy.pk)
    given = list(
        live_given(policy, now)
        .select_for_update(no_key=True, of=("self",))
        .select_related("identity")
        .order_by("pk")
    )
    APIToken.objects.filter(pk__in=[token.pk for token in given]).update(revoked_at=now)
    for token in given:
        record_end(
            event=Event.IDENTITY_TOKEN_REVOKED,
            actor=actor,
            object_type="identity",
            object_ref=token.identity.username,
            now=now,
            data={"token_id": token.pk, "trust_policy": policy.name, "workflow": token.workflow},
        )
    return len(given)
