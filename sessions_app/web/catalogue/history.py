"""What the catalogue said, what changed, and who had which rights."""

from __future__ import annotations

import datetime as dt
from typing import Any

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render

from accounts.models import Identity
from broker.kernel import clock
from broker.kernel.errors import InvalidInput
from sessions_app.models import DocumentVersion
from sessions_app.queries.history import difference, rights_at, versions_of
from sessions_app.web.shell.doors import page, who
from sessions_app.web.shell.forms import parse_start

MAX_TEXT = 100
# By type: the list that a thing stands in, what that is called, and the thing's own page, where it has one.
PLACES = {
    "policy": ("policies", "Policies", "policy"),
    "cluster": ("clusters", "Clusters", "cluster"),
    "command set": ("command_sets", "Command sets", "command_set"),
    "webhook": ("webhooks", "Webhooks", "webhook"),
    "workflow source": ("sources", "Workflow sources", "source"),
    "trust policy": ("trust_policies", "Trust policies", ""),
    "group": ("people", "People and machines", ""),
}


@page()
def history(request: HttpRequest, type_: str, name: str) -> HttpResponse:
    """Every version of one thing, and the difference between two of them: the last two, or those asked for."""
    found = versions_of(type_.replace("-", " "), name, who(request))
    by_number = {version.number: version for version in found}
    newer = by_number.get(_number(request, "to"), found[0])
    older = by_number.get(_number(request, "from"), by_number.get(newer.number - 1))
    listed, title, own = PLACES[found[0].type]
    context = {
        "versions": found, "name": name, "older": older, "newer": newer, "listed": listed, "title": title,
        "people": Identity.objects.in_bulk({version.by_id for version in found if version.by_id}),
        # What was removed has no page any more.
        "own": own if found[0].document else "",
        # Without the names of the two, which the heading says.
        "lines": difference(older, newer)[2:],
    }  # fmt: skip
    return render(request, "catalogue/history.html", context)


def _number(request: HttpRequest, name: str) -> int:
    text = request.GET.get(name, "")
    return int(text) if text.isdecimal() and len(text) < 9 else -1


@page()
def rights(request: HttpRequest) -> HttpResponse:
    """Who had which rights at a moment of the past, or has them now."""
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
    # Of a group that was made with its first member there is no version until it changes.
    kept = set(DocumentVersion.objects.filter(type="group").values_list("name", flat=True))
    context: dict[str, Any] = {
        "asked": asked,
        "moment": moment,
        "error": error,
        "rights": found,
        "kept": kept,
    }
    return render(request, "identities/rights.html", context)


def _past(day: str, hour: str, now: dt.datetime) -> dt.datetime | None:
    """Return the moment that a form asks for, in the reader's zone; None for now. Raises InvalidInput for one to come."""
    moment = parse_start(day, hour)
    if moment and moment > now:
        raise InvalidInput("That is still to come.", fields={"day": ["That is still to come."]})
    return moment
