"""Authenticate the caller: an identity's bearer token, or a person's browser session."""

from __future__ import annotations

import datetime as dt

from rest_framework.authentication import BaseAuthentication, get_authorization_header
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request

from accounts.models import APIToken, Identity
from accounts.queries import valid_token
from broker.kernel import clock
from sessions_app.queries.identities.api_tokens import outlived_token

# The time of last use is stored at most this often, because otherwise each use of a token would cause a
# write.
_USE_NOTED_EVERY = dt.timedelta(minutes=1)


class TokenAuthentication(BaseAuthentication):
    """`Authorization: Bearer stint_…` (RFC 6750). Unknown, expired and revoked tokens get the same
    response.
    """

    def authenticate(self, request: Request) -> tuple[Identity, APIToken] | None:
        """Return the identity and its token; None without a bearer token. Raises AuthenticationFailed."""
        parts = get_authorization_header(request).split()
        if not parts or parts[0].lower() != b"bearer":
            return None
        if len(parts) != 2:
            raise AuthenticationFailed("Send one token: `Authorization: Bearer TOKEN`.")
        token = self._find(parts[1].decode("latin-1"), _last_grant(request))
        return token.identity, token

    def _find(self, text: str, grant: str) -> APIToken:
        now = clock.now()
        token = valid_token(text, now) or (outlived_token(text, grant, now) if grant else None)
        if token is None:
            raise AuthenticationFailed("The token is not valid. Create a new one on your account page.")
        if token.last_used_at is None or token.last_used_at < now - _USE_NOTED_EVERY:
            APIToken.objects.filter(pk=token.pk).update(last_used_at=now)
        return token

    def authenticate_header(self, request: Request) -> str:
        """Return the challenge of a 401 response."""
        return 'Bearer realm="Stint"'


def _last_grant(request: Request) -> str:
    """Return the reference of the grant in the URL, if the view accepts an expired token for it; empty
    otherwise.
    """
    view = request.parser_context.get("view")
    kept = getattr(view, "outlives_token", False)
    return str(request.parser_context["kwargs"].get("ref", "")) if kept else ""
