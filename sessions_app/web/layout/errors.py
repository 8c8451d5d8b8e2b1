"""Pages for errors and for forms that were rejected."""

from __future__ import annotations

import re

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache

# Values of fields with these names are never shown again on a page.
_SECRET = re.compile("password|secret|token|code|^connection[.]")


@never_cache
def csrf_failed(request: HttpRequest, reason: str = "") -> HttpResponse:  # noqa: ARG001 (Django gives it)
    """Render the page for a form that expired or came from another site. Nothing was changed."""
    return not_sent(request, status=403)


def not_sent(request: HttpRequest, *, status: int) -> HttpResponse:
    """Render the page for a form that expired or was sent while signed out. A button submits the form
    again.
    """
    return render(request, "ui/not_sent.html", {"typed": typed(request)}, status=status)


def typed(request: HttpRequest) -> list[tuple[str, str]]:
    """Return the values of a submitted form, to submit it again.

    Empty unless the browser reports that the form came from this site, because otherwise another site could
    choose the values. Also empty if a field may contain a secret.
    """
    named = [name for name in request.POST if name != "csrfmiddlewaretoken"]
    here = f"{request.scheme}://{request.get_host()}"
    if request.headers.get("Origin") not in (here, settings.PUBLIC_URL) or any(map(_SECRET.search, named)):
        return []
    return [(name, value) for name in named for value in request.POST.getlist(name)]
