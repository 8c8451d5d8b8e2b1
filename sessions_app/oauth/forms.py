"""The base of all endpoints: form requests, JSON responses, and errors in the format of RFC 6749 section
5.2.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import structlog
from django.core.exceptions import RequestDataTooBig
from django.db import InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse, JsonResponse, QueryDict
from django.views.decorators.csrf import csrf_exempt

from accounts.addresses import address_of
from broker.kernel import recent
from broker.kernel.errors import StintError
from broker.kernel.networks import source_of

log = structlog.get_logger(__name__)

_FORM = "application/x-www-form-urlencoded"
_REPEATED = ("audience", "resource")
# In bytes. A CI service's token has two or three thousand characters.
_LONGEST = 64 * 1024
_NO_STORE = {"Cache-Control": "no-store", "Pragma": "no-cache"}
# Errors that keep their code because an RFC defines it. All other errors become `invalid_request`.
KNOWN = frozenset(
    {
        "access_denied",
        "authorization_pending",
        "expired_token",
        "invalid_authorization_details",
        "invalid_client",
        "invalid_grant",
        "invalid_request",
        "invalid_scope",
        "invalid_target",
        "slow_down",
        "unauthorized_client",
        "unsupported_grant_type",
        "unsupported_token_type",
    }
)


class OAuthError(Exception):
    """An error response of the form `{"error", "error_description"}`."""

    def __init__(self, error: str, description: str = "", *, status: int = 400, **headers: str) -> None:
        super().__init__(error)
        self.error, self.description, self.status, self.headers = error, description, status, headers


class Form:
    """The parameters of one request.

    Each parameter can appear only once, except audiences and resources. An empty parameter counts as missing
    (RFC 6749 section 3.2, RFC 8693 section 2.1, RFC 8707 section 2).
    """

    def __init__(self, sent: QueryDict) -> None:
        repeated = [name for name in sent if len(sent.getlist(name)) > 1 and name not in _REPEATED]
        if repeated:
            raise OAuthError("invalid_request", f"Send {repeated[0]} once.")
        if any("\0" in text for name, values in sent.lists() for text in (name, *values)):
            raise OAuthError("invalid_request", "A parameter contains a NUL character.")
        self._sent = {name: value for name, value in sent.dict().items() if value}
        self.audiences, self.resources = (
            list(dict.fromkeys(value for value in sent.getlist(name) if value)) for name in _REPEATED
        )

    def get(self, name: str) -> str:
        """Return a parameter; empty if it was not sent."""
        return str(self._sent.get(name, ""))

    def need(self, name: str) -> str:
        """Return a parameter. Raises OAuthError if it was not sent."""
        if not (value := self.get(name)):
            raise OAuthError("invalid_request", f"{name} is required.")
        return value

    @property
    def scopes(self) -> list[str]:
        """The requested scopes; empty if none were named."""
        return self.get("scope").split()


View = Callable[[HttpRequest, Form], HttpResponse]


def endpoint(*, per_minute: int) -> Callable[[View], Callable[[HttpRequest], HttpResponse]]:
    """Turn a view into an endpoint: POST with a form body, no caching, no cookies, no CSRF check.

    Each process accepts at most ``per_minute`` requests per minute from one address.
    """

    def decorate(view: View) -> Callable[[HttpRequest], HttpResponse]:
        @functools.wraps(view)
        def inner(request: HttpRequest) -> HttpResponse:
            try:
                _brake(request, view.__name__, per_minute)
                return view(request, _form(request))
            except OAuthError as error:
                return _said(error)
            except StintError as error:
                return _said(_translated(error))
            except (OperationalError, InterfaceError) as error:
                log.warning("oauth.database_unavailable", error=type(error).__name__)
                return _said(OAuthError("temporarily_unavailable", status=503, **{"Retry-After": "1"}))

        return csrf_exempt(inner)

    return decorate


def answer(value: dict[str, Any], status: int = 200) -> HttpResponse:
    """Return JSON that must not be cached."""
    return JsonResponse(value, status=status, headers=_NO_STORE)


def _brake(request: HttpRequest, name: str, per_minute: int) -> None:
    """Limit the request rate.

    This is not a quota, but slows down mistakes and guessing. Raises OAuthError.
    """
    calls, wait = recent.count(("oauth", name, source_of(address_of(request))), 60)
    if calls > per_minute:
        raise OAuthError(
            "slow_down", "Too many requests.", status=429, **{"Retry-After": f"{math.ceil(wait)}"}
        )


def _form(request: HttpRequest) -> Form:
    if request.method != "POST":
        raise OAuthError("invalid_request", "Use POST.", status=405, Allow="POST")
    if request.content_type != _FORM:
        raise OAuthError("invalid_request", f"Send {_FORM}.")
    try:
        raw = request.body
    except RequestDataTooBig:
        raw = b" " * (_LONGEST + 1)
    if len(raw) > _LONGEST:
        raise OAuthError("invalid_request", "The body is too large.", status=413)
    return Form(request.POST)


def _translated(error: StintError) -> OAuthError:
    name = error.code if error.code in KNOWN else "invalid_request"
    status = 401 if name == "invalid_client" else error.status if error.status >= 500 else 400
    return OAuthError(name, str(error), status=status)


def _said(error: OAuthError) -> HttpResponse:
    body = {"error": error.error}
    if error.description:
        body["error_description"] = _printable(error.description)
    response = answer(body, error.status)
    for name, value in error.headers.items():
        response[name] = value
    return response


def _printable(text: str) -> str:
    """Restrict a string to the characters of RFC 6749 section 5.2: visible ASCII and spaces, without quotes
    and backslashes.
    """
    plain = text.translate({ord("’"): "'", ord("“"): "'", ord("”"): "'", ord('"'): "'", ord("\\"): "/"})
    return "".join(letter if " " <= letter <= "~" else "?" for letter in plain)
