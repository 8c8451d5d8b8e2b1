"""Whoever has a token makes it worthless (RFC 7009)."""

from __future__ import annotations

import datetime as dt

from accounts.models import APIToken
from accounts.operations.revoke_token import revoke_token
from broker.kernel.crypto import token_digest
from broker.kernel.errors import NotFound


def give_up_token(*, text: str, now: dt.datetime) -> APIToken:
    """Revoke the API token with this text; to know it is all the proof that is needed. Raises NotFound."""
    found = APIToken.objects.select_related("identity").filter(digest=token_digest(text)).first()
    if found is None:
        raise NotFound("There is no such token.")
    return revoke_token(token_id=found.pk, actor=found.identity, now=now)
