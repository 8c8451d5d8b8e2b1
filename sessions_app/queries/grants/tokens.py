"""The current state of grants' tokens, for gateways."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass

from sessions_app.models import GrantCredential
from sessions_app.queries.grants.current import TIME_OVER, GrantNow, grants_now, why_ended

REPLACED = "token replaced or revoked"
RAN_OUT = "token expired"
UNKNOWN = "token not found"
ENDS_OF_TOKENS = frozenset((REPLACED, RAN_OUT))


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenNow:
    """The state of a token and its grant.

    ``why`` is why it is not valid, or will not be after ``expires_at``.
    """

    live: bool
    expires_at: dt.datetime
    why: str


def tokens_now(ids: Iterable[int], now: dt.datetime) -> dict[int, TokenNow]:
    """Return the state of each token. Tokens that do not exist are left out."""
    rows = list(
        GrantCredential.objects.filter(pk__in=list(ids)).values_list(
            "pk", "grant", "revoked_at", "expires_at"
        )
    )
    grants = grants_now({grant for _, grant, _, _ in rows}, now)
    return {
        pk: _standing(grants[grant], revoked=revoked_at is not None, until=expires_at, now=now)
        for pk, grant, revoked_at, expires_at in rows
    }


def _standing(grant: GrantNow, *, revoked: bool, until: dt.datetime | None, now: dt.datetime) -> TokenNow:
    if not grant.live:
        return TokenNow(live=False, expires_at=grant.expires_at, why=why_ended(grant))
    if revoked:
        return TokenNow(live=False, expires_at=grant.expires_at, why=REPLACED)
    if until is None or until >= grant.expires_at:
        return TokenNow(live=True, expires_at=grant.expires_at, why=TIME_OVER)
    return TokenNow(live=until > now, expires_at=until, why=RAN_OUT)
