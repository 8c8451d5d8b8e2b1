"""Second factors of people: which somebody has, and what a session has been shown."""

from __future__ import annotations

import base64
import datetime as dt
import json
from collections.abc import Sequence
from dataclasses import dataclass

from allauth.account.internal.flows.login import get_authentication_records, record_authentication
from allauth.mfa import app_settings
from allauth.mfa.models import Authenticator
from allauth.mfa.totp.internal.auth import generate_totp_secret
from django.conf import settings
from django.contrib.auth.hashers import UNUSABLE_PASSWORD_PREFIX
from django.contrib.auth.models import AnonymousUser
from django.db.models import Exists, OuterRef, Q
from django.http import HttpRequest

from accounts.models import Identity, Kind
from broker.kernel.crypto import CannotDecrypt, seal, unseal
from broker.kernel.errors import Forbidden, InvalidInput

REAL = (Authenticator.Type.TOTP, Authenticator.Type.WEBAUTHN)
_KINDS = (*REAL, Authenticator.Type.RECOVERY_CODES)
# How a session says that the identity provider vouched for its person.
BY_PROVIDER = "provider"
# Factors are changed, and keys and tokens are made, by who has shown within so long that they are who signed in.
PROOF_LASTS = dt.timedelta(minutes=5)
# The pages that a sign-in may still have to go through before it counts, by the names of their addresses.
OWN_PASSWORD, SECOND_FACTOR = "account_password", "factors"
_NEVER = dt.datetime.min.replace(tzinfo=dt.UTC)
_PURPOSE = "authenticator app that is set up"


class ProofNeeded(Forbidden):
    """The browser session that acts has not shown lately who it is."""

    code = "proof_needed"


@dataclass(frozen=True, slots=True)
class Factors:
    """What protects the sign-in of one person beside the password. Recovery codes alone protect nothing."""

    app: Authenticator | None
    passkeys: Sequence[Authenticator]
    codes_left: int

    @property
    def any(self) -> bool:
        """Whether there is a second factor."""
        return bool(self.app or self.passkeys)


def factors_of(identity: Identity) -> Factors:
    """Return the second factors of a person."""
    rows = list(Authenticator.objects.filter(user=identity).order_by("pk"))
    app, passkeys, codes = ([row for row in rows if row.type == kind] for kind in _KINDS)
    return Factors(next(iter(app), None), passkeys, codes_left(codes[0]) if codes else 0)


def let_in_by_password_alone() -> Q:
    """Return the condition on identities that a password, and nothing beside it, lets in: enabled people without a factor."""
    factors = Authenticator.objects.filter(user=OuterRef("pk"), type__in=REAL)
    usable = ~Q(password="") & ~Q(password__startswith=UNUSABLE_PASSWORD_PREFIX)
    return usable & ~Exists(factors) & Q(kind=Kind.PERSON, is_active=True)


def codes_left(codes: Authenticator) -> int:
    """Return how many of somebody's recovery codes were not used yet."""
    return int(app_settings.RECOVERY_CODE_COUNT) - int(codes.data["used_mask"]).bit_count()


def facts_of(factor: Authenticator) -> dict[str, str]:
    """Return what the record says of a factor: its kind, and the name that a person gave to a passkey."""
    facts = {"factor": str(factor.type), "name": str(factor.data.get("name", ""))}
    return {name: value for name, value in facts.items() if value}


def said(factor: Authenticator) -> str:
    """Return a factor in words: `The passkey “Laptop”`."""
    return (
        "The authenticator app"
        if factor.type == Authenticator.Type.TOTP
        else f"The passkey “{factor.data['name']}”"
    )


def offer_secret(identity: Identity, now: dt.datetime) -> tuple[str, str]:
    """Return a new secret for an authenticator app, and a ticket by which the person's next form names it."""
    secret = str(generate_totp_secret())
    text = json.dumps([identity.pk, secret, (now + PROOF_LASTS).timestamp()])
    return secret, base64.urlsafe_b64encode(seal(text.encode(), purpose=_PURPOSE)).decode()


def offered_secret(identity: Identity, ticket: str, now: dt.datetime) -> str:
    """Return the secret that the person was offered with this ticket. Raises InvalidInput."""
    try:
        sealed = base64.b64decode(ticket.encode("ascii"), altchars=b"-_", validate=True)
        whose, secret, until = json.loads(unseal(sealed, purpose=_PURPOSE))
    except (ValueError, CannotDecrypt):
        whose, secret, until = 0, "", 0
    if whose != identity.pk or now.timestamp() > until:
        raise InvalidInput(
            "This page has expired.", hint="Scan the new code below and remove the old entry from your app."
        )
    return str(secret)


def note_proof(request: HttpRequest, identity: Identity, factor: Authenticator | None, **facts: bool) -> None:
    """Remember in the session that a person has just shown a factor, or, with None, their password."""
    if factor is None:
        record_authentication(request, identity, "password", **facts)
    else:
        record_authentication(request, identity, "mfa", id=factor.pk, type=str(factor.type), **facts)
    identity.proven_at = proven_at(request, identity)


def factor_used(request: HttpRequest, identity: Identity) -> str:
    """Return the kind of factor that was shown last since the sign-in; empty: none was."""
    shown = [
        record["type"]
        for record in get_authentication_records(request, identity)
        if record["method"] == "mfa"
    ]
    return str(shown[-1]) if shown else ""


def proven_at(request: HttpRequest, identity: Identity) -> dt.datetime:
    """Return when the session was last shown a password or a factor, at its sign-in or since."""
    shown = get_authentication_records(request, identity)
    return dt.datetime.fromtimestamp(shown[-1]["at"], dt.UTC) if shown else _NEVER


def recently_proven(identity: Identity, now: dt.datetime) -> bool:
    """Whether the actor has a recent proof. A token is one; a session needs a fresh one."""
    return identity.proven_at is None or now - identity.proven_at < PROOF_LASTS


def ensure_recently_proven(identity: Identity, now: dt.datetime) -> None:
    """Raise ProofNeeded unless who acts has just shown who they are: else a browser that somebody left open is enough to
    make what opens Stint from anywhere, for months.
    """
    if not recently_proven(identity, now):
        raise ProofNeeded(
            "Confirm your identity.",
            hint=f"Open {settings.PUBLIC_URL}/account/confirm/, then try again within five minutes.",
        )


def provider_of(request: HttpRequest, identity: Identity) -> str:
    """Return the issuer that vouched for somebody at their sign-in; empty: none did."""
    records = get_authentication_records(request, identity)
    return next((str(one["issuer"]) for one in records if one["method"] == BY_PROVIDER), "")


def missing_step(request: HttpRequest, user: Identity | AnonymousUser) -> str:
    """Return the page that this sign-in has to go through before it counts: it is nobody's until then. Empty: none.

    Whom the identity provider vouched for has shown there what it asks for.
    """
    if not isinstance(user, Identity) or provider_of(request, user):
        return ""
    if user.password_given:
        return OWN_PASSWORD
    return SECOND_FACTOR if settings.SECOND_FACTOR == "required" and not factor_used(request, user) else ""
