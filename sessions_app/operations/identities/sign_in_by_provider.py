"""Find out who comes back from the company's identity provider."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Mapping
from typing import Any

import structlog
from django.conf import settings

from accounts.models import Identity
from accounts.operations.link_provider import NotLinked, link_provider
from accounts.operations.note_sign_in import note_failed_sign_in
from broker.kernel.errors import Forbidden, StintError
from sessions_app.issuers.fetch import CannotFetch
from sessions_app.issuers.provider import Asked, NotProven
from sessions_app.operations.identities.begin_provider_sign_in import no_answer, provider
from sessions_app.operations.identities.follow_provider_groups import follow_provider_groups

_LONGEST_ADDRESS = 254
_ERROR = re.compile(r"[a-z_]{1,40}")

logger = structlog.get_logger(__name__)


class NotSignedIn(Forbidden):
    """What the provider answered signs nobody in."""

    code = "not_signed_in"


def sign_in_by_provider(
    *, code: str, answered_by: str | None, error: str | None, asked: Asked, address: str, now: dt.datetime
) -> Identity:
    """Redeem what a browser brought, and return whom the provider proved. They may be disabled, which is for the door of
    all sign-ins to refuse; else their groups are what the provider says. What fails is recorded with the ``address``.

    ``code``, ``answered_by`` (`iss`) and ``error`` are what the provider sent along.
    Raises NotFound (there is no provider), ProviderDoesNotAnswer, NotSignedIn, NotLinked, and what refuses the groups.
    """
    try:
        if error is not None:
            raise NotProven(f"it says {error}" if _ERROR.fullmatch(error) else "it sent an unknown error")
        claims = provider().claims(code=code, answered_by=answered_by, asked=asked, now=now)
    except CannotFetch as unreached:
        raise no_answer(unreached) from unreached
    except NotProven as why:
        logger.warning("provider.not_proven", why=str(why))
        note_failed_sign_in(name="", address=address, reason=str(why), now=now)
        raise NotSignedIn(f"Sign-in with {settings.OIDC_NAME} failed: {why}.", hint="Sign in again.") from why
    email = _verified_address(claims)
    try:
        person = link_provider(issuer=settings.OIDC_ISSUER, subject=claims["sub"], email=email, now=now)
    except NotLinked as nobody:
        note_failed_sign_in(name=email or claims["sub"], address=address, reason=nobody.message, now=now)
        raise
    if person.is_active and settings.OIDC_GROUPS:
        try:
            follow_provider_groups(
                identity_id=person.pk, named=_groups(claims), governed=settings.OIDC_GROUPS, now=now
            )
        except StintError as refused:
            note_failed_sign_in(name=person.username, address=address, reason=refused.message, now=now)
            raise
    return person


def _verified_address(claims: Mapping[str, Any]) -> str | None:
    email = claims.get("email")
    fit = isinstance(email, str) and 3 <= len(email) <= _LONGEST_ADDRESS and email.isprintable()
    return str(email) if fit and claims.get("email_verified") is True else None


def _groups(claims: Mapping[str, Any]) -> frozenset[str]:
    """Return what the claim names; nothing, where it is missing: providers leave an empty one out. Raises NotSignedIn."""
    named = claims.get(settings.OIDC_GROUPS_CLAIM, [])
    listed = [named] if isinstance(named, str) else named
    if not isinstance(listed, list) or not all(isinstance(one, str) for one in listed):
        raise NotSignedIn(
            f"The groups from {settings.OIDC_NAME} can't be read.",
            hint=f"The claim {settings.OIDC_GROUPS_CLAIM} must be a list of names. Contact the provider's administrator.",
        )
    return frozenset(listed)
