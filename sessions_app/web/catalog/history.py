"""Views for the catalog history: versions and their differences."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from sessions_app.queries.catalog.history import versions_of
from sessions_app.web.catalog.history_page import history_page
from sessions_app.web.layout.views import page, who


@page()
def history(request: HttpRequest, type_: str, name: str) -> HttpResponse:
    """Show every version of one document, and the difference between two versions: the requested two, or else
    the last two.
    """
    found = versions_of(type_.replace("-", " "), name, who(request))
    shown = history_page(name, found, older=_number(request, "from"), newer=_number(request, "to"))
    return render(request, "catalog/history.html", {"shown": shown})


def _number(request: HttpRequest, name: str) -> int | None:
    text = request.GET.get(name, "")
    return int(text) if text.isdecimal() and len(text) < 9 else None
