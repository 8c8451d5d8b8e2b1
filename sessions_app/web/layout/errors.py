"""Pages for errors, and for forms that could not be accepted."""

from __future__ import annotations

import re

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache

# Values of fields with such names are not repeated on a page.
_SECRET = re.compile("password|secret|token|code|^connection[.]")


@never_cache
def csrf_failed(request: HttpRequest, reason: str = "") -> HttpResponse:  # noqa: ARG001 (Django gives it)
    """Say that the form was too old or not from this site, and that nothing was changed."""
    return not_sent(request, status=403)


def not_sent(request: HttpRequest, *, status: int) -> HttpResponse:
    """Say that a form was not accepted: it was too old, or its sender is signed out. A button sends the same values
    again.
    """
    return render(request, "ui/not_sent.html", {"typed": typed(request)}, status=status)


def typed(request: HttpRequest) -> list[tuple[str, str]]:
    """Return what a form sent, so that it can be sent again.

    Empty unless the browser says that the form came from this site. Otherwise another site could fill in ours. Also
    empty if a field may be secret.
    """
    named = [name for name in request.POST if name != "csrfmiddlewaretoken"]
    here = f"{request.scheme}://{request.get_host()}"
    if request.headers.get("Origin") not in (here, settings.PUBLIC_URL) or any(map(_SECRET.search, named)):
        return []
    return [(name, value) for name in named for value in request.POST.getlist(name)]
