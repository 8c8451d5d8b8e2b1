"""The view for the timeline: who had which access, and when."""

from __future__ import annotations

import datetime as dt
from enum import StrEnum
from typing import TypeVar

from django.http import HttpRequest, HttpResponseBase, QueryDict
from django.shortcuts import render
from django.utils import timezone
from django.utils.dateparse import parse_date

from broker.kernel import clock
from sessions_app.web.forms.times import parse_hour
from sessions_app.web.layout.downloads import csv_file
from sessions_app.web.layout.views import page, who
from sessions_app.web.record import timeline_page as timeline
from sessions_app.web.record.timeline_file import COLUMNS, lines
from sessions_app.web.record.timeline_found import asked_in
from sessions_app.web.record.timeline_question import By, Question, Show, Zoom

Choice = TypeVar("Choice", bound=StrEnum)
STATES = (
    (Show.ASKED, "Requested"),
    (Show.LATER, "Scheduled"),
    (Show.ACTIVE, "Active"),
    (Show.ENDED, "Ended"),
    (Show.REFUSED, "Not granted"),
    (Show.URGENT, "Break-glass or incident"),
)
BYS = ((By.CLUSTER, "Cluster"), (By.PERSON, "Person"), (By.MACHINE, "Machine"))
ZOOMS = ((Zoom.DAY, "Day"), (Zoom.WEEK, "Week"), (Zoom.MONTH, "Month"))
LONGEST = 100
# Well within the range of dates, so that the previous and next periods always exist.
FIRST, LAST = dt.date(1970, 2, 1), dt.date(9990, 1, 1)


@page()
def index(request: HttpRequest) -> HttpResponseBase:
    """Show the grants and requests of a day, week or month, as a chart, a table or a file."""
    now, me = clock.now(), who(request)
    today = timezone.localtime(now).date()
    question = _question(request.GET, today)
    if request.GET.get("format") == "csv":
        return _file(request, question, now)
    table = request.GET.get("view") == "table"
    context = {
        "asked": question,
        "is_today": question.first <= today < question.after,
        "table": table,
        "clusters": timeline.clusters_of(me, now, question.cluster),
        "states": STATES,
        "bys": BYS,
        "zooms": ZOOMS,
        "now": now,
        "board": None if table else timeline.board(question, me, now),
    }
    if table:
        found = timeline.table(question, me, now, request.GET.get("before", ""))
        context["page"] = found
        context["rows"] = [timeline.row_of(one, now) for one in found.rows]
    return render(request, "record/timeline.html", context)


def _file(request: HttpRequest, question: Question, now: dt.datetime) -> HttpResponseBase:
    asked = timeline.named(asked_in(question, who(request), now))
    found = asked.order_by("number").iterator(chunk_size=1000)
    name = f"timeline-{question.first}-{question.zoom}.csv"
    return csv_file(name, COLUMNS, lines(found, now))


def _question(query: QueryDict, today: dt.date) -> Question:
    """Return the timeline query described by an address's query string. Invalid values are ignored."""
    return Question(
        by=_choice(By, query.get("by", "")) or By.CLUSTER,
        zoom=_choice(Zoom, query.get("zoom", "")) or Zoom.DAY,
        day=_day(query.get("day", "")) or today,
        cluster=_text(query.get("cluster", "")),
        person=_text(query.get("person", "")),
        state=_choice(Show, query.get("state", "")) or "",
        since=parse_hour(query.get("since", "")),
        until=parse_hour(query.get("until", "")),
    )


def _choice(choices: type[Choice], text: str) -> Choice | None:
    return choices(text) if text in list(choices) else None


def _text(text: str) -> str:
    return text.replace("\0", "").strip()[:LONGEST]


def _day(text: str) -> dt.date | None:
    try:
        day = parse_date(text)
    except ValueError:
        return None
    return min(max(day, FIRST), LAST) if day else None
