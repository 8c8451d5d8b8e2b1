"""Token introspection in the format of RFC 7662."""

from __future__ import annotations

import datetime as dt
from typing import Any

from accounts.models import APIToken, Identity, answers_for
from accounts.queries import valid_token
from broker.kernel.crypto import token_digest
from sessions_app.models import Grant, GrantCredential

_INACTIVE = {"active": False}


def introspection(text: str, reader: Identity, now: dt.datetime) -> dict[str, Any]:
    """Return the introspection response for a token.

    Unknown, revoked and hidden tokens get the same response: `{"active": false}`. People can read their own
    tokens and those of their machines. Administrators can read more, and so can people who can see a grant.
    """
    token = valid_token(text, now)
    if token is not None:
        return _of_api(token) if _may_read(reader, token.identity) else dict(_INACTIVE)
    return _of_grant(text, reader, now)


def _may_read(reader: Identity, holder: Identity) -> bool:
    return reader.is_superuser or answers_for(reader, holder)


def _of_api(token: APIToken) -> dict[str, Any]:
    described: dict[str, Any] = {
        "active": True,
        "scope": " ".join(token.scopes),
        "username": token.identity.username,
        "sub": token.identity.username,
        "token_type": "Bearer",
        "exp": int(token.expires_at.timestamp()),
        "iat": int(token.created_at.timestamp()),
    }
    return {**described, "stint_workflow": token.workflow} if token.workflow else described


def _of_grant(text: str, reader: Identity, now: dt.datetime) -> dict[str, Any]:
    found = GrantCredential.objects.select_related("grant__holder").filter(
        digest=token_digest(text),
        revoked_at__isnull=True,
        grant__in=Grant.objects.visible_to(reader).in_use(now),
    )
    credential = found.first()
    if credential is None or (credential.expires_at is not None and credential.expires_at <= now):
        return dict(_INACTIVE)
    grant = credential.grant
    until = min(grant.expires_at, credential.expires_at or grant.expires_at)
    described: dict[str, Any] = {
        "active": True,
        "username": grant.holder.username,
        "sub": grant.holder.username,
        "token_type": "DPoP" if credential.jkt else "Bearer",
        "exp": int(until.timestamp()),
        "iat": int(credential.created_at.timestamp()),
        "authorization_details": [{"type": "stint_grant", "grant": grant.ref}],
    }
    return {**described, "cnf": {"jkt": credential.jkt}} if credential.jkt else described
