"""The current state of grants' tokens, for gateways."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass

from django.db.models import Count, Max, Q

from broker.kernel.crypto import derived_token, token_digest
from sessions_app.models import Grant, GrantCredential
from sessions_app.queries.grants.current import TIME_OVER, GrantNow, grants_now, why_ended

# The prefix of the tokens of grants.
PREFIX = "sgt"
REPLACED = "token replaced or revoked"
RAN_OUT = "token expired"
UNKNOWN = "token not found"
ENDS_OF_TOKENS = frozenset((REPLACED, RAN_OUT))


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenNow:
    """The state of a token and its grant.

    ``why`` is the reason why the token is not valid, or will become invalid after ``expires_at``.
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


def shared_token(grant: Grant) -> str:
    """Return the text of the token that a grant has or would get, for kinds whose clients share one token.

    The text is derived from a key, so it is stored nowhere.
    """
    return _shared(grant.mark, grant.credentials.filter(revoked_at__isnull=False).count())


def token_of(ref: str, kind: str) -> str | None:
    """Return the text of the shared token that a grant on a cluster of this kind has; None if it has none."""
    over = Q(credentials__revoked_at__isnull=False)
    # One query, whether the grant exists or not, so that both take the same time.
    found = (
        Grant.objects.filter(ref=ref, cluster__kind=kind)
        .values_list("mark")
        .annotate(revoked=Count("credentials", filter=over), digest=Max("credentials__digest", filter=~over))
    )
    mark, revoked, digest = next(iter(found), ("", 0, ""))
    text = _shared(mark, revoked)
    return text if digest and token_digest(text) == digest else None


def _shared(mark: str, revoked: int) -> str:
    return derived_token(PREFIX, f"{mark}/{revoked}")
