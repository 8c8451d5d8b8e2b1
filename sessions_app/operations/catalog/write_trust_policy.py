"""Update a trust policy to match its document."""

from __future__ import annotations

import datetime as dt

from accounts.models import Identity
from accounts.names import canonical_username
from broker.audit.actor import Actor
from broker.audit.events import Event
from broker.audit.record import record
from sessions_app.models import TrustPolicy
from sessions_app.operations.catalog.catalog_plan import Plan, note
from sessions_app.operations.catalog.revoke_issued_tokens import revoke_issued_tokens
from sessions_app.policy.digests import digest_of
from sessions_app.policy.documents import DocumentError, Problem
from sessions_app.policy.trust import TrustPolicyDocument


def write_trust_policy(
    *, document: TrustPolicyDocument, source: str, plan: Plan, actor: Actor, now: dt.datetime
) -> None:
    """If the document differs from the row, update the row, record the change, and revoke the tokens issued
    under the policy.

    Call this within ``one_change``. Raises DocumentError if ``speaks_as`` is a person or unknown.
    """
    identity = Identity.objects.filter(username=canonical_username(document.speaks_as)).first()
    if identity is None or identity.is_person:
        raise DocumentError(
            [Problem("speaks_as", "must be a service or an agent, not a person: people sign in themselves")]
        )
    data = document.model_dump(mode="json")
    row = TrustPolicy.objects.filter(name=document.name).first()
    live = row is not None and row.removed_at is None
    if row and live and row.digest == digest_of(data):
        return
    before = row.document if row and live else None
    taken = revoke_issued_tokens(policy=row, actor=actor, now=now) if row else 0
    row = row or TrustPolicy(name=document.name, version=0, created_at=now)
    row.version += 1
    row.summary, row.issuer, row.identity = document.summary, document.issuer, identity
    row.source, row.document, row.digest = source, data, digest_of(data)
    row.changed_at, row.removed_at = now, None
    row.save()
    note(plan, "change" if before else "create", "trust policy", document.name, before, data)
    record(
        event=Event.TRUST_POLICY_CHANGED if before else Event.TRUST_POLICY_CREATED,
        actor=actor,
        object_type="trust_policy",
        object_ref=document.name,
        now=now,
        data={
            "version": row.version,
            "digest": row.digest,
            "issuer": document.issuer,
            "speaks_as": identity.username,
            "tokens_revoked": taken,
        },
    )
