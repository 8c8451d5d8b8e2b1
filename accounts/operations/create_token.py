"""Create an API token."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Iterable

from django.db import transaction

from accounts.actors import actor_of
from accounts.factors import ensure_recently_proven
from accounts.locks import lock_recipient
from accounts.models import APIToken, Identity, Scope
from accounts.queries import administers, may_give_credentials
from broker.audit.actor import Actor
from broker.audit.events import Event
from broker.audit.record import record
from broker.kernel.crypto import new_token, token_digest
from broker.kernel.errors import Forbidden, InvalidInput, NotFound
from broker.kernel.text import checked_text

LONGEST = dt.timedelta(days=90)


class MoreThanItself(Forbidden):
    """A token can't create another token with more scopes or a longer lifetime than its own. Request fewer
    scopes or a shorter lifetime, or sign in.
    """

    code = "scope_missing"


def create_token(
    *,
    identity_id: int,
    label: str,
    scopes: Iterable[str],
    lifetime: dt.timedelta,
    actor: Identity | Actor,
    by: APIToken | None = None,
    now: dt.datetime,
    workflow: str = "",
) -> tuple[APIToken, str]:
    """Create a token for the actor or for a machine that the actor owns. Return the token with its text,
    which is not stored.

    An ``Actor`` has a shell on the server, and can create tokens for anyone. ``by`` is the token that the
    actor used. The new token can't have more scopes, is bound to the same workflow, and expires or is revoked
    with it. ``workflow`` is the reference of the workflow that all requests with the new token are bound to.

    Raises InvalidInput for unknown or no scopes, `administer` for an identity that administers nothing, a
    missing or too long label, or a lifetime over 90 days. Also raises Forbidden for another person's tokens,
    MoreThanItself, NotFound, ProofNeeded, IdentityDisabled.
    """
    wanted, label = _checked(scopes, lifetime, label)
    if by is not None:
        _check_within(by, wanted, now + lifetime)
    identity = _recipient(identity_id, actor, wanted, now)
    text = new_token("stint")
    with transaction.atomic():
        lock_recipient(identity, actor)
        if by is not None:
            _lock(by)
            workflow = by.workflow
        token = APIToken.objects.create(
            identity=identity,
            label=label,
            hint=text[:10],
            digest=token_digest(text),
            scopes=wanted,
            workflow=workflow,
            made_by=by,
            created_at=now,
            expires_at=now + lifetime,
        )
        record(
            event=Event.IDENTITY_TOKEN_CREATED,
            actor=actor_of(actor),
            object_type="identity",
            now=now,
            object_ref=identity.username,
            data={
                "token_id": token.pk,
                "scopes": wanted,
                "expires_at": token.expires_at.isoformat(),
                **({"workflow": workflow} if workflow else {}),
                **({"made_by": by.pk} if by else {}),
            },
        )
    return token, text


def _checked(scopes: Iterable[str], lifetime: dt.timedelta, label: str) -> tuple[list[str], str]:
    wanted = sorted(set(scopes))
    if not wanted or not set(wanted) <= set(Scope.values):
        raise InvalidInput(
            "Select at least one scope.",
            fields={"scopes": [f"Use one or more of: {', '.join(Scope.values)}."]},
        )
    if not dt.timedelta(0) < lifetime <= LONGEST:
        raise InvalidInput(
            "A token can be valid for at most 90 days.", fields={"lifetime": ["Choose 1 to 90 days."]}
        )
    label = checked_text(label, field="label", longest=100)
    if not label:
        raise InvalidInput("Give the token a name.", fields={"label": ["Required."]})
    return wanted, label


def _recipient(
    identity_id: int, actor: Identity | Actor, scopes: Collection[str], now: dt.datetime
) -> Identity:
    """Return the identity, if the actor can create tokens with these scopes for the identity."""
    identity = Identity.objects.filter(pk=identity_id).first()
    if identity is None:
        raise NotFound("Identity not found.")
    if isinstance(actor, Identity):
        if not may_give_credentials(actor, identity):
            raise Forbidden("You can't create tokens for another person.")
        if Scope.ADMINISTER in scopes and not administers(identity):
            raise InvalidInput(
                f"{identity} administers nothing, so it can't get a token with the scope `administer`.",
                fields={"scopes": ["Remove `administer`: it is for administrators only."]},
            )
        ensure_recently_proven(actor, now)
    return identity


def _lock(by: APIToken) -> None:
    """Lock the token that creates another token. If the creating token is revoked in the meantime, the new
    token is then also revoked.
    """
    rows = APIToken.objects.select_for_update(no_key=True).filter(pk=by.pk, revoked_at__isnull=True)
    if not rows.exists():
        raise MoreThanItself("This token has been revoked.", hint="Sign in, or use another token.")


def _check_within(by: APIToken, scopes: Collection[str], expires_at: dt.datetime) -> None:
    if not set(scopes) <= set(by.scopes):
        raise MoreThanItself(
            "A token can't create a token with more scopes than its own.",
            hint=f"The token's scopes are: {', '.join(by.scopes)}.",
        )
    if expires_at > by.expires_at:
        raise MoreThanItself(
            "A token can't create a token that expires later than itself.",
            hint=f"The token expires at {by.expires_at:%Y-%m-%d %H:%M} UTC. Choose a shorter lifetime, "
            "or sign in.",
        )
