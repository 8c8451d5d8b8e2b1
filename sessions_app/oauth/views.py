"""The views of the OAuth endpoints."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.http import require_safe

from accounts.operations.revoke_presented_token import revoke_presented_token
from broker.kernel import clock
from broker.kernel.errors import NotFound
from sessions_app.oauth.callers import caller_of
from sessions_app.oauth.device import device_token
from sessions_app.oauth.exchange import exchange
from sessions_app.oauth.forms import Form, OAuthError, answer, endpoint
from sessions_app.oauth.metadata import DEVICE_CODE, TOKEN_EXCHANGE, server_metadata
from sessions_app.operations.grants.revoke_http_token import revoke_http_token
from sessions_app.queries.grants.tokens import PREFIX
from sessions_app.queries.identities.introspection import introspection

GRANT_TYPES: Mapping[str, Callable[[HttpRequest, Form], HttpResponse]] = {
    DEVICE_CODE: device_token,
    TOKEN_EXCHANGE: exchange,
}


@require_safe
def metadata(_request: HttpRequest) -> HttpResponse:
    """Return the metadata of the authorization server (RFC 8414)."""
    return JsonResponse(server_metadata())


@endpoint(per_minute=600)
def token(request: HttpRequest, form: Form) -> HttpResponse:
    """Issue a token (RFC 6749 section 3.2)."""
    wanted = GRANT_TYPES.get(form.need("grant_type"))
    if wanted is None:
        raise OAuthError("unsupported_grant_type", f"Supported: {', '.join(GRANT_TYPES)}.")
    return wanted(request, form)


@endpoint(per_minute=600)
def introspect(request: HttpRequest, form: Form) -> HttpResponse:
    """Introspect a token (RFC 7662).

    The response is the same for another person's token and for an unknown one.
    """
    caller = caller_of(request)
    return answer(introspection(form.need("token"), caller.identity, clock.now()))


@endpoint(per_minute=120)
def revoke(_request: HttpRequest, form: Form) -> HttpResponse:
    """Revoke a token (RFC 7009). An unknown token gets the same response."""
    text, now = form.need("token"), clock.now()
    revoke_it = revoke_http_token if text.startswith(f"{PREFIX}_") else revoke_presented_token
    with contextlib.suppress(NotFound):
        revoke_it(text=text, now=now)
    return HttpResponse(headers={"Cache-Control": "no-store"})
