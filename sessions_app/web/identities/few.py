"""A rate limit on sign-ins from one address, successful or not, because each costs a password hash or a
request to the provider.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar, cast

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from accounts.addresses import address_of
from accounts.attempts import TooManyTries
from broker.kernel import recent
from broker.kernel.networks import source_of

View = TypeVar("View", bound=Callable[..., HttpResponse])
_PER_MINUTE = 30


def few(view: View) -> View:
    """Limit a view to 30 requests per minute from one address. Each process counts separately, and all views
    with this limit share the count.
    """

    @functools.wraps(view)
    def inner(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        calls, wait = recent.count(("sign-ins", source_of(address_of(request))), 60)
        if calls <= _PER_MINUTE:
            return view(request, *args, **kwargs)
        error = TooManyTries("Too many attempts.", wait)
        answer = render(request, "429.html", {"error": error}, status=error.status)
        answer["Retry-After"] = f"{error.wait}"
        return answer

    return cast(View, inner)
