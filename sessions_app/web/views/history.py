"""What the catalogue said, what changed, and who had which rights."""

from __future__ import annotations

import datetime as dt
from typing import Any

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.utils.dateparse import parse_datetime

from broker.kernel import clock
from sessions_app.queries.history import difference, rights_at, versions_of
from sessions_app.web.doors import page, who

MAX_TEXT = 100


@page()
def history(request: HttpRequest, type_: str, name: str) -> HttpResponse:
    """Every version of one thing, and the difference between two of them: the last two, or those asked for."""
    found = versions_of(type_.replace("-", " "), name, who(request))
    by_number = {version.number: version for version in found}
    newer = by_number.get(_number(request, "to"), found[0])
    older = by_number.get(_number(request, "from"), by_number.get(newer.number - 1))
    context = {"versions": found, "type": found[0].type, "name": name, "older": older, "newer": newer,
               "lines": difference(older, newer)}  # fmt: skip
    return render(request, "sessions/history.html", context)


def _number(request: HttpRequest, name: str) -> int:
    text = request.GET.get(name, "")
    return int(text) if text.isdecimal() and len(text) < 9 else -1


@page()
def rights(request: HttpRequest) -> HttpResponse:
    """Who had which rights at a moment of the past, or has them now."""
    if not who(request).is_superuser:
        raise Http404
    asked = {key: request.GET.get(key, "").replace("\0", "").strip()[:MAX_TEXT] for key in ("at", "q")}
    moment, error = _moment(asked["at"])
    found = [
        right
        for right in rights_at(moment)
        if asked["q"].lower() in f"{right.identity} {right.name} {right.group}"
    ]
    context: dict[str, Any] = {"asked": asked, "moment": moment, "error": error, "rights": found}
    return render(request, "accounts/rights.html", context)


def _moment(text: str) -> tuple[dt.datetime, str]:
    """Return the moment that a form asks for, in the reader's zone, or now with why it is not that one."""
    now = clock.now()
    if not text:
        return now, ""
    try:
        found = parse_datetime(text)
    except ValueError:
        found = None
    if found is None:
        return now, "Give a date and a time, such as 2026-03-01T14:00. Below is how it stands now."
    moment = found if timezone.is_aware(found) else timezone.make_aware(found)
    return (moment, "") if moment <= now else (now, "That is still to come. Below is how it stands now.")
