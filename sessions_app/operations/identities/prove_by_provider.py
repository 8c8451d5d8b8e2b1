"""Confirm a person's identity through the identity provider."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Any

from django.conf import settings

from accounts.factors import PROOF_LASTS, factors_of
from accounts.models import Identity, ProviderLink
from accounts.operations.note_sign_in import note_failed_sign_in
from broker.kernel.errors import Forbidden, NotFound
from sessions_app.operations.identities.sign_in_by_provider import Answer, authenticated_at, claims_of


class NotConfirmed(Forbidden):
    """The identity provider did not confirm that you have just signed in there. Try again."""

    code = "not_confirmed"


def prove_by_provider(*, identity_id: int, answer: Answer, address: str, now: dt.datetime) -> dt.datetime:
    """Return when a person without a second factor in Stint last authenticated at the provider, which must be
    within the last few minutes.

    Neither account links nor groups change. A failure is recorded as a failed sign-in of the person. Raises
    NotFound (no provider is configured, no such identity), ProviderDoesNotAnswer, NotSignedIn, NotConfirmed.
    """
    identity = Identity.objects.active().filter(pk=identity_id).first()
    if identity is None:
        raise NotFound("Identity not found.")
    claims = claims_of(answer=answer, name=identity.username, address=address, now=now)
    at = authenticated_at(claims, now)
    refused = _refusal(identity, claims, at, now)
    if refused is not None or at is None:
        refused = refused or _not_said()
        note_failed_sign_in(name=identity.username, address=address, reason=refused.message, now=now)
        raise refused
    return at


def _refusal(
    identity: Identity, claims: Mapping[str, Any], at: dt.datetime | None, now: dt.datetime
) -> NotConfirmed | None:
    name, issuer = settings.OIDC_NAME, settings.OIDC_ISSUER
    own = ProviderLink.objects.filter(identity=identity, issuer=issuer, subject=claims["sub"])
    if not own.exists():
        return NotConfirmed(
            f"This is not your account at {name}.", hint="Use the account that you sign in with."
        )
    if factors_of(identity).any:
        return NotConfirmed(
            f"You have a second factor in Stint, so {name} can't confirm your identity.",
            hint="Use your second factor.",
        )
    if at is not None and now - at >= PROOF_LASTS:
        return NotConfirmed(f"{name} did not authenticate you again.", hint="Try again, and sign in there.")
    return None


def _not_said() -> NotConfirmed:
    return NotConfirmed(
        f"{settings.OIDC_NAME} did not report when you signed in there.",
        hint="The provider's ID token needs the claim `auth_time`. Contact the provider's administrator.",
    )
