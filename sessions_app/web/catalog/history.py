"""Catalog history: versions, what changed, and who had which permissions."""

from __future__ import annotations

import datetime as dt
from typing import Any

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse

from broker.kernel import clock
from broker.kernel.errors import InvalidInput
from sessions_app.models import DocumentVersion
from sessions_app.queries.catalog.history import Right, rights_at, versions_of
from sessions_app.web.catalog.history_page import history_page
from sessions_app.web.display.states import Linked, plural
from sessions_app.web.forms.times import parse_start
from sessions_app.web.layout.views import page, who

MAX_TEXT = 100


@page()
def history(request: HttpRequest, type_: str, name: str) -> HttpResponse:
    """Show every version of one document, and the difference between two: those requested, or else the last
    two.
    """
    found = versions_of(type_.replace("-", " "), name, who(request))
    shown = history_page(name, found, older=_number(request, "from"), newer=_number(request, "to"))
    return render(request, "catalog/history.html", {"shown": shown})


def _number(request: HttpRequest, name: str) -> int | None:
    text = request.GET.get(name, "")
    return int(text) if text.isdecimal() and len(text) < 9 else None


@page()
def rights(request: HttpRequest) -> HttpResponse:
    """Show who has which permissions, now or at a time in the past."""
    if not who(request).is_superuser:
        raise Http404
    asked = {
        key: request.GET.get(key, "").replace("\0", "").strip()[:MAX_TEXT] for key in ("day", "hour", "q")
    }
    now, moment, error = clock.now(), None, None
    try:
        moment = _past(asked["day"], asked["hour"], now)
    except InvalidInput as invalid:
        error = invalid
    found = [
        right
        for right in rights_at(moment or now)
        if asked["q"].lower() in f"{right.identity} {right.name} {right.group}"
    ]
    # A group that was created with its first member has no version until it changes.
    kept = set(DocumentVersion.objects.filter(type="group").values_list("name", flat=True))
    context: dict[str, Any] = {
        "asked": asked,
        "moment": moment,
        "error": error,
        "count": plural(len(found), "right"),
        "rows": [(right, _through(right, kept)) for right in found],
    }
    return render(request, "identities/rights.html", context)


def _through(right: Right, kept: set[str]) -> Linked:
    """Return the group through which someone has a permission, with a link to its history if it has one."""
    if not right.group:
        return Linked("directly")
    if right.group in kept:
        return Linked(right.group, reverse("history", args=["group", right.group]))
    return Linked(f"group {right.group}")


def _past(day: str, hour: str, now: dt.datetime) -> dt.datetime | None:
    """Return the time in a form, in the reader's time zone; None for now. Raises InvalidInput for a future
    time.
    """
    moment = parse_start(day, hour)
    if moment and moment > now:
        raise InvalidInput("Choose a time in the past.", fields={"day": ["Choose a time in the past."]})
    return moment
