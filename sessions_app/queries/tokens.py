"""Reads of API tokens."""

from __future__ import annotations

import datetime as dt

from accounts.models import APIToken
from accounts.queries import bound_token
from sessions_app.models import Grant


def outlived_token(text: str, ref: str, now: dt.datetime) -> APIToken | None:
    """Return the token of a run that is over while a grant that was asked for with it is not, else None.

    A run's token is short, and its job may be long: with the token it keeps the grant alive, looks at it and ends it until
    the grant's deadline, and does nothing else.
    """
    token = bound_token(text)
    if token is None:
        return None
    asked_for = Grant.objects.filter(
        ref=ref,
        holder=token.identity,
        workflow__ref=token.workflow,
        request__created_at__lte=token.expires_at,
        expires_at__gt=now,
    )
    return token if asked_for.exists() else None
