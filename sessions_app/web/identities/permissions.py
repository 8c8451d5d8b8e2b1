"""The view for the permissions page."""

from __future__ import annotations

import datetime as dt
from dataclasses import fields
from typing import Any

from django.http import HttpRequest, HttpResponseBase, QueryDict
from django.shortcuts import render

from broker.kernel import clock
from broker.kernel.errors import InvalidInput
from sessions_app.queries.catalog.history import at_version, recent_versions
from sessions_app.web.forms.times import parse_start
from sessions_app.web.identities import permissions_page as reads
from sessions_app.web.identities.permissions_page import Question
from sessions_app.web.layout.downloads import csv_file
from sessions_app.web.layout.views import page, who

MAX_TEXT = 100
TIMES = ("day", "hour", "version", "since_day", "since_hour", "since_version")


@page()
def index(request: HttpRequest) -> HttpResponseBase:
    """Show who can do what on each cluster, now or at a past time, or what changed between two times."""
    me, now, error = who(request), clock.now(), None
    typed = {name: _text(request.GET, name) for name in TIMES}
    question = Question(**{field.name: _text(request.GET, field.name) for field in fields(Question)})
    moment = since = None
    try:
        moment, since = _past(typed, now), _past(typed, now, "since_")
    except InvalidInput as invalid:
        error = invalid
    snapshot, entries = reads.seen_at(me, moment or now)
    if request.GET.get("format") == "csv" and error is None:
        return csv_file("permissions.csv", reads.COLUMNS, reads.lines(question, entries))
    context: dict[str, Any] = {
        "asked": question,
        "typed": typed,
        "error": error,
        "moment": moment,
        "since": since,
        "choices": reads.choices_of(me, snapshot, entries),
        "filters": reads.FILTERS,
        "versions": recent_versions(me),
        "may_manage": me.is_superuser,
    }
    number = _number(request.GET)
    if since:
        context["compared"] = reads.compared(question, me, since, moment or now)
    elif question.who or question.cluster:
        context["details"] = reads.details(question, entries, number)
    else:
        context["matrix"] = reads.matrix(question, snapshot, entries, number)
    return render(request, "identities/permissions.html", context)


def _text(query: QueryDict, name: str) -> str:
    return query.get(name, "").strip()[:MAX_TEXT]


def _number(query: QueryDict) -> int:
    text = query.get("page", "")
    return max(1, int(text)) if text.isdecimal() and len(text) < 5 else 1


def _past(typed: dict[str, str], now: dt.datetime, prefix: str = "") -> dt.datetime | None:
    """Return the time from a form, or the time of the selected version; None for now. Raises InvalidInput for
    a future time or an unknown version.
    """
    if key := typed[f"{prefix}version"]:
        moment = at_version(key)
        if moment is None:
            raise InvalidInput(
                "This version does not exist.",
                fields={f"{prefix}version": ["Choose a version from the list."]},
            )
        return moment
    moment = parse_start(typed[f"{prefix}day"], typed[f"{prefix}hour"], prefix)
    if moment and moment > now:
        raise InvalidInput(
            "Choose a time in the past.", fields={f"{prefix}day": ["Choose a time in the past."]}
        )
    return moment
