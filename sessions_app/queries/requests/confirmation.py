"""Whether an approver must first confirm their identity, under policies that require it."""

from __future__ import annotations

import datetime as dt

from django.conf import settings

from accounts.factors import SignInNeeded, ensure_recently_proven, recently_proven
from accounts.models import Identity
from sessions_app.models import AccessPolicy
from sessions_app.queries.requests import facts


def must_confirm(policy: AccessPolicy, approver: Identity, now: dt.datetime) -> bool:
    """Whether the approver must confirm their identity before an approval under the policy counts."""
    required = facts.policy_document(policy).confirmation is not None
    return required and (approver.proven_at is None or not recently_proven(approver, now))


def check_confirmed(policy: AccessPolicy, approver: Identity, now: dt.datetime, *, page: str) -> None:
    """Raise ProofNeeded for an approval without the required confirmation, and SignInNeeded for an approval
    with a token, because tokens can't confirm anything.

    ``page`` is the path of the page on which the approver can confirm and approve.
    """
    if not must_confirm(policy, approver, now):
        return
    if approver.proven_at is None:
        raise SignInNeeded(
            f"Under {policy.name}, approvers confirm their identity.",
            hint=f"Approve on the page: {settings.PUBLIC_URL}{page}.",
        )
    ensure_recently_proven(approver, now)
