"""The second factors that people have, and those used in their sessions."""

from __future__ import annotations

import base64
import datetime as dt
import json
from collections.abc import Sequence
from dataclasses import dataclass

from allauth.account.internal.flows.login import (
    AUTHENTICATION_METHODS_SESSION_KEY,
    get_authentication_records,
    record_authentication,
)
from allauth.mfa import app_settings
from allauth.mfa.models import Authenticator
from allauth.mfa.recovery_codes.internal.auth import RecoveryCodes
from allauth.mfa.totp.internal.auth import generate_totp_secret
from django.conf import settings
from django.contrib.auth.hashers import UNUSABLE_PASSWORD_PREFIX
from django.contrib.auth.models import AnonymousUser
from django.db.models import Exists, OuterRef, Q
from django.http import HttpRequest

from accounts.models import APIToken, Identity, Kind
from broker.kernel.crypto import CannotDecrypt, SecretLocation, place_of, seal, unseal
from broker.kernel.errors import Forbidden, InvalidInput

REAL = (Authenticator.Type.TOTP, Authenticator.Type.WEBAUTHN)
_KINDS = (*REAL, Authenticator.Type.RECOVERY_CODES)
# The authentication method of sessions that began with a sign-in at the identity provider.
BY_PROVIDER = "provider"
# Changing factors and creating keys or tokens requires a proof of identity that is at most this old.
PROOF_LASTS = dt.timedelta(minutes=5)
# The URL names of pages that may be required to complete a sign-in.
OWN_PASSWORD, SECOND_FACTOR = "account_password", "factors"
_NEVER = dt.datetime.min.replace(tzinfo=dt.UTC)


class ProofNeeded(Forbidden):
    """Recent proof of your identity is required. Confirm your identity, and try again."""

    code = "proof_needed"


@dataclass(frozen=True, slots=True)
class Factors:
    """The second factors of a person. Recovery codes alone don't count as a second factor."""

    app: Authenticator | None
    passkeys: Sequence[Authenticator]
    codes_left: int

    @property
    def any(self) -> bool:
        """Whether the person has a second factor."""
        return bool(self.app or self.passkeys)


def factors_of(identity: Identity) -> Factors:
    """Return the second factors of a person."""
    rows = list(Authenticator.objects.filter(user=identity).order_by("pk"))
    app, passkeys, codes = ([row for row in rows if row.type == kind] for kind in _KINDS)
    return Factors(next(iter(app), None), passkeys, codes_left(codes[0]) if codes else 0)


def password_only() -> Q:
    """Return the condition that an identity can sign in with a password alone: an enabled person without a
    second factor.
    """
    factors = Authenticator.objects.filter(user=OuterRef("pk"), type__in=REAL)
    usable = ~Q(password="") & ~Q(password__startswith=UNUSABLE_PASSWORD_PREFIX)
    return usable & ~Exists(factors) & Q(kind=Kind.PERSON, is_active=True)


def codes_left(codes: Authenticator) -> int:
    """Return the number of a person's unused recovery codes."""
    return int(app_settings.RECOVERY_CODE_COUNT) - int(codes.data["used_mask"]).bit_count()


def facts_of(factor: Authenticator) -> dict[str, str]:
    """Return the facts about a factor for the record: its kind, and the name of a passkey."""
    facts = {"factor": str(factor.type), "name": str(factor.data.get("name", ""))}
    return {name: value for name, value in facts.items() if value}


def said(factor: Authenticator) -> str:
    """Return a factor's name for use in messages, such as `The passkey “Laptop”`."""
    return (
        "The authenticator app"
        if factor.type == Authenticator.Type.TOTP
        else f"The passkey “{factor.data['name']}”"
    )


def offer_secret(identity: Identity, now: dt.datetime) -> tuple[str, str]:
    """Return a new secret for an authenticator app, and a ticket that the person's next form sends to
    identify the secret.
    """
    secret = str(generate_totp_secret())
    text = json.dumps([secret, (now + PROOF_LASTS).timestamp()])
    return secret, base64.urlsafe_b64encode(seal(text.encode(), place=_offer_to(identity))).decode()


def offered_secret(identity: Identity, ticket: str, now: dt.datetime) -> str:
    """Return the secret that was offered to the person together with this ticket. Raises InvalidInput."""
    try:
        sealed = base64.b64decode(ticket.encode("ascii"), altchars=b"-_", validate=True)
        secret, until = json.loads(unseal(sealed, place=_offer_to(identity)))
    except (ValueError, CannotDecrypt):
        secret, until = "", 0
    if now.timestamp() > until:
        raise InvalidInput(
            "This page has expired.", hint="Scan the new code below and remove the old entry from your app."
        )
    return str(secret)


def _offer_to(identity: Identity) -> SecretLocation:
    return place_of(identity, "the authenticator app being set up")


def put_secret(factor: Authenticator, name: str, secret: str) -> None:
    """Store a secret in a factor's data, encrypted for its row. The caller saves the row."""
    sealed = seal(secret.encode(), place=place_of(factor, f"data.{name}"))
    factor.data[name] = base64.b64encode(sealed).decode()


def secret_of(factor: Authenticator, name: str) -> str:
    """Return a secret from a factor's data. Raises CannotDecrypt."""
    return unseal(base64.b64decode(factor.data[name]), place=place_of(factor, f"data.{name}")).decode()


def recovery_codes_of(factor: Authenticator) -> list[str]:
    """Return all of a person's recovery codes, used or not. Raises CannotDecrypt."""
    opened = Authenticator(data={"seed": secret_of(factor, "seed")})
    return list(RecoveryCodes(opened).generate_codes())


def note_proof(request: HttpRequest, identity: Identity, factor: Authenticator | None, **facts: bool) -> None:
    """Store in the session that a person has just used a factor (None: their password)."""
    if factor is None:
        record_authentication(request, identity, "password", **facts)
    else:
        record_authentication(request, identity, "mfa", id=factor.pk, type=str(factor.type), **facts)
    identity.proven_at = proven_at(request, identity)


def note_provider(
    request: HttpRequest, identity: Identity, *, issuer: str, proven_at: dt.datetime | None, **facts: bool
) -> None:
    """Store in the session that the identity provider authenticated a person.

    ``proven_at`` is the time of that authentication; None if it is not recent.
    """
    at = proven_at.timestamp() if proven_at else None
    record_authentication(request, identity, BY_PROVIDER, issuer=issuer, proven_at=at, **facts)


def forget_proofs(request: HttpRequest) -> None:
    """Clear the proofs of the session, such as the password of an incomplete sign-in."""
    request.session.pop(AUTHENTICATION_METHODS_SESSION_KEY, None)


def factor_used(request: HttpRequest, identity: Identity) -> str:
    """Return the kind of the second factor that the session used most recently, or an empty string."""
    shown = [
        record["type"]
        for record in get_authentication_records(request, identity)
        if record["method"] == "mfa"
    ]
    return str(shown[-1]) if shown else ""


def proven_at(request: HttpRequest, identity: Identity) -> dt.datetime:
    """Return the time of the session's latest proof of identity, at the sign-in or later.

    An identity provider may respond from its own session, so the time is when the person last authenticated
    there.
    """
    records = get_authentication_records(request, identity)
    times = [one.get("proven_at") if one["method"] == BY_PROVIDER else one["at"] for one in records]
    return max((dt.datetime.fromtimestamp(at, dt.UTC) for at in times if at is not None), default=_NEVER)


def recently_proven(identity: Identity, now: dt.datetime) -> bool:
    """Whether the actor has a recent proof of identity. A token counts as a proof; a session needs its
    own.
    """
    return identity.proven_at is None or now - identity.proven_at < PROOF_LASTS


def ensure_recently_proven(identity: Identity, now: dt.datetime) -> None:
    """Raise ProofNeeded unless the actor has a recent proof of identity. Otherwise, anyone at an unattended
    browser could create credentials that are valid for months.
    """
    if not recently_proven(identity, now):
        raise ProofNeeded(
            "Confirm your identity.",
            hint=f"Open {settings.PUBLIC_URL}/account/confirm/, then try again within five minutes.",
        )


class SignInNeeded(Forbidden):
    """A token can't be used for this action, because the result would outlive the token.

    Sign in to the web interface.
    """

    code = "sign_in_needed"


def ensure_signed_in(by: APIToken | None, what: str) -> None:
    """Raise SignInNeeded if the actor used a token. ``what`` is the action whose result would outlive the
    token, such as `add SSH keys`.
    """
    if by is not None:
        raise SignInNeeded(
            f"A token can't {what}.", hint=f"Sign in to {settings.PUBLIC_URL}, or use `manage.py person`."
        )


def provider_of(request: HttpRequest, identity: Identity) -> str:
    """Return the issuer that authenticated a person at sign-in; empty if there was none."""
    records = get_authentication_records(request, identity)
    return next((str(one["issuer"]) for one in records if one["method"] == BY_PROVIDER), "")


def missing_step(request: HttpRequest, user: Identity | AnonymousUser) -> str:
    """Return the page of the step that this sign-in still needs before it is valid; empty if it needs none.

    A sign-in through the identity provider needs no further step, because the provider decides on factors.
    """
    if not isinstance(user, Identity) or provider_of(request, user):
        return ""
    if user.password_given:
        return OWN_PASSWORD
    return SECOND_FACTOR if settings.SECOND_FACTOR == "required" and not factor_used(request, user) else ""
