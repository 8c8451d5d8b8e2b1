"""Whether an approver must first confirm their identity, under policies that require it."""

from __future__ import annotations

import datetime as dt

from django.conf import settings

from accounts.factors import SignInNeeded, ensure_recently_proven, recently_proven
from accounts.models import Identity
from sessions_app.models import AccessRequest, Verdict
from sessions_app.queries.requests import facts


def must_confirm(request: AccessRequest, approver: Identity, now: dt.datetime) -> bool:
    """Whether the approver must confirm their identity before an approval counts."""
    required = facts.policy_document(request.policy).confirmation is not None
    return required and (approver.proven_at is None or not recently_proven(approver, now))


def check_confirmed(request: AccessRequest, approver: Identity, verdict: str, now: dt.datetime) -> None:
    """Raise ProofNeeded for an approval without the required confirmation, and SignInNeeded for an approval
    with a token, because tokens can't confirm anything.
    """
    if verdict != Verdict.APPROVE or not must_confirm(request, approver, now):
        return
    if approver.proven_at is None:
        raise SignInNeeded(
            f"Under {request.policy.name}, approvers confirm their identity.",
            hint=f"Approve the request on its page: {settings.PUBLIC_URL}/approvals/{request.ref}/.",
        )
    ensure_recently_proven(approver, now)
