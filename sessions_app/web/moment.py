"""One current time per page, so that all of its parts agree."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache

from django.http import HttpRequest, HttpResponse

from broker.kernel import clock

_read: ContextVar[Callable[[], dt.datetime]] = ContextVar("page_moment")


def page_now() -> dt.datetime:
    """Return the database's time, read once per page. Raises LookupError outside a page."""
    return _read.get()()


@contextmanager
def one_moment() -> Iterator[None]:
    """Use a single time within this block, read on first use."""
    token = _read.set(cache(clock.now))
    try:
        yield
    finally:
        _read.reset(token)


class PageMomentMiddleware:
    """Gives each request one current time."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        with one_moment():
            return self.get_response(request)
