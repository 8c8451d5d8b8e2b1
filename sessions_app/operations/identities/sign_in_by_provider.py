"""Identify the person who returns from the identity provider."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import structlog
from django.conf import settings

from accounts.factors import factors_of
from accounts.models import Identity
from accounts.operations.link_provider import NotLinked, link_provider
from accounts.operations.note_sign_in import note_failed_sign_in
from broker.kernel.errors import Forbidden, StintError
from sessions_app.issuers.fetch import CannotFetch
from sessions_app.issuers.provider import Asked, NotProven
from sessions_app.operations.identities.begin_provider_sign_in import no_answer, provider
from sessions_app.operations.identities.follow_provider_groups import follow_provider_groups
from sessions_app.policy.trust import seconds_of

_LONGEST_ADDRESS = 254
_ERROR = re.compile(r"[a-z_]{1,40}")

logger = structlog.get_logger(__name__)


class NotSignedIn(Forbidden):
    """The identity provider's response can't be used to sign in. Try again, or ask an administrator."""

    code = "not_signed_in"


@dataclass(frozen=True, slots=True)
class Answer:
    """The response to the sign-in ``asked`` that a browser brought back from the provider: `code`, `iss` and
    `error`.
    """

    asked: Asked
    code: str = field(repr=False)
    answered_by: str | None
    error: str | None


@dataclass(frozen=True, slots=True)
class Vouched:
    """The person whom the provider identified, and when they last authenticated there; None if the time
    is not proven.
    """

    person: Identity
    proven_at: dt.datetime | None


def sign_in_by_provider(*, answer: Answer, address: str, now: dt.datetime) -> Vouched:
    """Redeem the provider's response, and return the person whom the provider identified.

    A disabled person is also returned, because the code for all sign-ins rejects disabled people. For other
    people, the governed groups are updated to those that the provider reports. Failures are recorded with the
    ``address``.

    Raises NotFound (no provider is configured), ProviderDoesNotAnswer, NotSignedIn, NotLinked, and the errors
    of changing groups.
    """
    claims = claims_of(answer=answer, name="", address=address, now=now)
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
    # A person with a second factor in Stint must use that factor: the provider's password, like Stint's, is
    # not enough.
    return Vouched(person, None if factors_of(person).any else authenticated_at(claims, now))


def claims_of(*, answer: Answer, name: str, address: str, now: dt.datetime) -> Mapping[str, Any]:
    """Redeem a response, and return the verified claims.

    Failures are recorded as failed sign-ins of ``name``.

    Raises NotFound (no provider is configured), ProviderDoesNotAnswer, NotSignedIn.
    """
    error = answer.error
    try:
        if error is not None:
            raise NotProven(
                f"it returned {error}" if _ERROR.fullmatch(error) else "it returned an unknown error"
            )
        return provider().claims(
            code=answer.code, answered_by=answer.answered_by, asked=answer.asked, now=now
        )
    except CannotFetch as unreached:
        raise no_answer(unreached) from unreached
    except NotProven as why:
        logger.warning("provider.not_proven", why=str(why))
        note_failed_sign_in(name=name, address=address, reason=str(why), now=now)
        raise NotSignedIn(f"Sign-in with {settings.OIDC_NAME} failed: {why}.", hint="Try again.") from why


def authenticated_at(claims: Mapping[str, Any], now: dt.datetime) -> dt.datetime | None:
    """Return when the person last authenticated at the provider, which may be long before this sign-in; None
    if the provider does not report the time.

    Source: `auth_time`, OpenID Connect Core 1.0 section 2.
    """
    at = seconds_of(claims.get("auth_time"))
    # The provider's clock may be ahead of Stint's.
    return None if at is None else min(dt.datetime.fromtimestamp(at, dt.UTC), now)


def _verified_address(claims: Mapping[str, Any]) -> str | None:
    email = claims.get("email")
    fit = isinstance(email, str) and 3 <= len(email) <= _LONGEST_ADDRESS and email.isprintable()
    return str(email) if fit and claims.get("email_verified") is True else None


def _groups(claims: Mapping[str, Any]) -> frozenset[str]:
    """Return the names in the groups claim; none if the claim is missing, because providers omit an empty
    claim.

    Raises NotSignedIn.
    """
    named = claims.get(settings.OIDC_GROUPS_CLAIM, [])
    listed = [named] if isinstance(named, str) else named
    if not isinstance(listed, list) or not all(isinstance(one, str) for one in listed):
        raise NotSignedIn(
            f"The groups from {settings.OIDC_NAME} can't be read.",
            hint=(
                f"The claim {settings.OIDC_GROUPS_CLAIM} must be a list of names. Contact the provider's"
                " administrator."
            ),
        )
    return frozenset(listed)
