"""Middleware for the identity and the time zone of a request."""

from __future__ import annotations

import zoneinfo
from collections.abc import Callable
from typing import Any, TypeVar

from django.contrib.auth.models import AnonymousUser
from django.http import HttpRequest, HttpResponse
from django.utils import timezone

from accounts.factors import OWN_PASSWORD, SECOND_FACTOR, missing_step, proven_at
from accounts.models import Identity

_View = TypeVar("_View", bound=Callable[..., Any])


def before_second_factor(view: _View) -> _View:
    """Allow a view during sign-ins that still lack the required second factor."""
    return _opened(view, SECOND_FACTOR)


def before_own_password(view: _View) -> _View:
    """Allow a view during sign-ins with a password that another person chose."""
    return _opened(view, OWN_PASSWORD)


def _opened(view: _View, step: str) -> _View:
    view.before = {*getattr(view, "before", ()), step}  # type: ignore[attr-defined]  # read below
    return view


class SignInMiddleware:
    """Sets the time of the session's latest proof of identity, and rejects incomplete sign-ins.

    While a step of the sign-in is missing, the request is anonymous. Only the views for that step get the
    identity, as ``request.unproven``. ``request.missing`` is the URL name of the page for that step.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if isinstance(request.user, Identity):
            request.user.proven_at = proven_at(request, request.user)
        if step := missing_step(request, request.user):
            request.missing = step  # type: ignore[attr-defined]
            request.unproven, request.user = request.user, AnonymousUser()  # type: ignore[attr-defined]
        return self.get_response(request)

    def process_view(self, request: HttpRequest, view: Callable[..., Any], *_: Any) -> None:
        """Set the person as the user in the views that complete the missing step."""
        if getattr(request, "missing", "") in getattr(view, "before", ()):
            request.user = request.unproven  # type: ignore[attr-defined]


class TimeZoneMiddleware:
    """Activates the signed-in identity's time zone for the request."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        name = getattr(request.user, "time_zone", "UTC") if request.user.is_authenticated else "UTC"
        with timezone.override(zoneinfo.ZoneInfo(name)):
            return self.get_response(request)
