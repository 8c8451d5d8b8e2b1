"""Authenticate the caller of an OAuth endpoint."""

from __future__ import annotations

from django.http import HttpRequest

from accounts.models import APIToken, Scope
from accounts.queries import valid_token
from broker.kernel import clock
from sessions_app.oauth.forms import OAuthError

_CHALLENGE = 'Bearer realm="Stint"'


def caller_of(request: HttpRequest) -> APIToken:
    """Return the API token that authenticates the caller (RFC 6750 section 2.1). Raises OAuthError."""
    kind, _, text = request.headers.get("Authorization", "").partition(" ")
    token = valid_token(text.strip(), clock.now()) if kind.lower() == "bearer" else None
    if token is None:
        raise OAuthError(
            "invalid_token", "Send a valid API token.", status=401, **{"WWW-Authenticate": _CHALLENGE}
        )
    if Scope.READ not in token.scopes:
        wanted = f'{_CHALLENGE}, error="insufficient_scope", scope="read"'
        raise OAuthError(
            "insufficient_scope",
            "The token needs the read scope.",
            status=403,
            **{"WWW-Authenticate": wanted},
        )
    return token
