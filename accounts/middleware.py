"""Who a request is from, and in which time zone its page speaks."""

from __future__ import annotations

import zoneinfo
from collections.abc import Callable
from typing import Any, TypeVar

from django.contrib.auth.models import AnonymousUser
from django.http import HttpRequest, HttpResponse
from django.utils import timezone

from accounts.factors import second_factor_missing

_View = TypeVar("_View", bound=Callable[..., Any])


def before_second_factor(view: _View) -> _View:
    """Open a view also to a sign-in that still lacks the second factor which is required."""
    view.before_second_factor = True  # type: ignore[attr-defined]  # read below
    return view


class SecondFactorMiddleware:
    """Where a second factor is required, a sign-in without one is nobody's, but for the views that let it have one.

    Those know it by ``request.unproven``.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if second_factor_missing(request, request.user):
            request.unproven, request.user = request.user, AnonymousUser()  # type: ignore[attr-defined]
        return self.get_response(request)

    def process_view(self, request: HttpRequest, view: Callable[..., Any], *_: Any) -> None:
        """Let the person be who they are at the few views that are for this."""
        if getattr(request, "unproven", None) and getattr(view, "before_second_factor", False):
            request.user = request.unproven  # type: ignore[attr-defined]


class TimeZoneMiddleware:
    """Activates the signed-in identity's time zone for the request."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        name = getattr(request.user, "time_zone", "UTC") if request.user.is_authenticated else "UTC"
        with timezone.override(zoneinfo.ZoneInfo(name)):
            return self.get_response(request)
