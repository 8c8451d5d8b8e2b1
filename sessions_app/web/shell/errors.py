"""Pages for errors, and for forms that could not be taken."""

from __future__ import annotations

import re

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache

# What is typed into these is not put into a page once more.
_SECRET = re.compile("password|secret|token|code|^connection[.]")


@never_cache
def csrf_failed(request: HttpRequest, reason: str = "") -> HttpResponse:  # noqa: ARG001 (Django gives it)
    """Say that the form was too old or not ours; nothing was changed."""
    return not_sent(request, status=403)


def not_sent(request: HttpRequest, *, status: int) -> HttpResponse:
    """Say that a form was not taken, for it was too old or its sender is signed out; a button sends again what was typed."""
    return render(request, "ui/not_sent.html", {"typed": typed(request)}, status=status)


def typed(request: HttpRequest) -> list[tuple[str, str]]:
    """Return what a form sent, to be sent again: of a page of ours alone, as the browser says, for another site could put
    words into ours; and nothing where something in it is secret.
    """
    named = [name for name in request.POST if name != "csrfmiddlewaretoken"]
    here = f"{request.scheme}://{request.get_host()}"
    if request.headers.get("Origin") not in (here, settings.PUBLIC_URL) or any(map(_SECRET.search, named)):
        return []
    return [(name, value) for name in named for value in request.POST.getlist(name)]
