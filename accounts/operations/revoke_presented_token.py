"""Revoke an API token by its text (RFC 7009)."""

from __future__ import annotations

import datetime as dt

from accounts.models import APIToken
from accounts.operations.revoke_token import revoke_token
from broker.kernel.crypto import token_digest
from broker.kernel.errors import NotFound


def revoke_presented_token(*, text: str, now: dt.datetime) -> APIToken:
    """Revoke the API token with this text. The text is the only authorization needed. Raises NotFound."""
    found = APIToken.objects.select_related("identity").filter(digest=token_digest(text)).first()
    if found is None:
        raise NotFound("Token not found.")
    return revoke_token(token_id=found.pk, actor=found.identity, now=now)
