"""Views for approvers: items that wait for a decision, and the decision itself."""

from __future__ import annotations

import datetime as dt
from typing import Any, NamedTuple

from django.contrib import messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import redirect, render

from accounts.models import Identity
from broker.kernel import clock
from broker.kernel.errors import InvalidInput, NotFound, StintError
from sessions_app.models import AccessRequest, RequestState, Verdict
from sessions_app.operations.requests.decide_request import ScopeChanged, decide_request
from sessions_app.operations.requests.withdraw_approval import withdraw_approval
from sessions_app.policy import references
from sessions_app.queries.notifications.notices import combined
from sessions_app.queries.requests import waiting
from sessions_app.queries.requests.deciders import requests_for
from sessions_app.queries.requests.extents import left_digest, left_of
from sessions_app.queries.requests.waiting import pending
from sessions_app.queries.statements.composed import Listed, among, first_of
from sessions_app.queries.statements.related_names import with_approvals, with_names
from sessions_app.web.display.cards import request_cards
from sessions_app.web.display.needs import needs_of
from sessions_app.web.layout.frame import frame_of
from sessions_app.web.layout.views import ACT, page, who
from sessions_app.web.requests.changes import changes_since, signed_summary
from sessions_app.web.requests.decisions import decided_by, decided_today
from sessions_app.web.requests.request_page import changed_note, request_page
from sessions_app.web.requests.requests import find

MOST, MOST_OTHERS = 50, 20
SHOW = ("holds", "requests", "reviews", "questions")


@page()
def index(request: HttpRequest) -> HttpResponse:
    """List the items that wait for the reader, the items that wait for others, and the reader's decisions."""
    me, now = who(request), clock.now()
    show = request.GET.get("show", "")
    show = show if show in SHOW else ""
    found = waiting.lists_for(me, now, frame_of(request).standing.waiting, most=MOST)
    others = _OTHERS(me, now, mine=[asked.pk for asked in found["requests"]])
    with_approvals(others)
    # Suspended grants and held commands share a tab, because the same people decide on both.
    releases = found.pop("releases")
    counts = {name: len(rows) for name, rows in found.items()}
    counts["holds"] += len(releases)
    context = {
        "needs": needs_of(
            me,
            now,
            releases=releases if show in ("", "holds") else [],
            **{name: rows if show in ("", name) else [] for name, rows in found.items()},
        ),
        "tabs": _tabs(counts, show),
        "show": show,
        "others": request_cards(others, now),
        "decided": decided_by(me),
        "today": decided_today(me, now),
        "combined": combined(me, now),
    }
    return render(request, "requests/approvals.html", context)


class Tab(NamedTuple):
    """A filter of the page."""

    url: str
    label: str
    current: bool


def _tabs(counts: dict[str, int], show: str) -> list[Tab]:
    words = {"holds": "Held", "requests": "Requests", "reviews": "Reviews", "questions": "Questions"}
    some = [Tab(f"?show={name}", f"{word} {counts[name]}", show == name) for name, word in words.items()]
    return [Tab("?", "All", not show), *some]


def _others(reader: Identity, _: dt.datetime, mine: list[int]) -> QuerySet[AccessRequest]:
    others = pending(reader).exclude(among("pk", mine))
    return with_names(first_of(others, "lapses_at", "pk", most=MOST_OTHERS), rules=True)


_OTHERS = Listed(_others, mine=list)


@page()
def detail(request: HttpRequest, ref: str) -> HttpResponse:
    """Show one request to an approver."""
    return _detail(request, find(request, ref))


def _detail(request: HttpRequest, asked: AccessRequest, error: StintError | None = None) -> HttpResponse:
    typed = request.POST
    # A page that updates itself sends a summary of what its reader has seen, and keeps showing the changes
    # since then.
    read = typed.get("read", "") if error else request.GET.get("read", "")
    past = "past" in request.GET
    context = request_page(asked, who(request), clock.now(), deciding=True, past=past)
    targets = context["facts"].targets
    changes = changes_since(asked, targets, read) if read else []
    refused = error is not None and error.code == ScopeChanged.code
    context |= {
        "error": error,
        # A change to the request is shown at the top of the page, all other errors at the form.
        "form_error": None if refused else error,
        "note": changed_note(context["shown"], changes, refused=refused, failed=error is not None),
        "read": read if changes and not error else signed_summary(asked, targets),
        "left": left_digest(asked),
        "without_commands": _each(typed.getlist("without_command")),
        "without_targets": _each(typed.getlist("without_target")),
        "comment": typed.get("comment", ""),
        "duration": _whole(typed.get("duration", "")) or left_of(asked).duration,
        # The form that was rejected.
        "form": (typed.get("form") or "verdict") if error else "",
    }
    if not context["shown"].decidable or context["shown"].mine:
        context["following"] = _following(request, asked)
    return render(request, "requests/approval.html", context, status=error.status if error else 200)


def _following(request: HttpRequest, asked: AccessRequest) -> str:
    """Return the next request that waits for the reader's decision; empty if there is none."""
    if not frame_of(request).standing.waiting.requests:
        return ""
    waits = _FOLLOWING(who(request), clock.now(), but=asked.pk)
    return references.request_ref(*waits[0]) if waits else ""


_FOLLOWING: Listed[Any] = Listed(
    lambda reader, now, but: (
        requests_for(reader, now).exclude(pk=but).order_by("lapses_at", "pk").values_list("number")[:1]
    ),
    but=int,
)


@page(ACT)
def undo(request: HttpRequest, ref: str) -> HttpResponse:
    """Withdraw an approval that the reader gave moments ago."""
    asked = find(request, ref)
    try:
        withdraw_approval(request_id=asked.pk, approver=who(request), now=clock.now())
    except NotFound:
        raise
    except StintError as error:
        return _detail(request, find(request, ref), error)
    messages.success(request, f"Your approval of {asked.ref} was withdrawn.")
    return redirect("approval", ref)


@page(ACT)
def decide(request: HttpRequest, ref: str) -> HttpResponse:
    """Approve a request, possibly with a reduced scope, or deny it."""
    asked = find(request, ref)
    try:
        decided = decide_request(
            request_id=asked.pk,
            approver=who(request),
            verdict=request.POST.get("verdict", ""),
            digest=request.POST.get("digest", ""),
            comment=request.POST.get("comment", ""),
            narrowing=_narrowing(request.POST, asked),
            left=request.POST.get("left", ""),
            now=clock.now(),
        )
    except NotFound:
        raise
    except StintError as error:
        return _detail(request, find(request, ref), error)
    messages.success(request, _said(decided))
    return redirect("approval", ref)


def _narrowing(typed: QueryDict, asked: AccessRequest) -> dict[str, Any] | None:
    """Return the form's reductions of the scope that earlier approvers left; None for a denial."""
    if typed.get("verdict") != Verdict.APPROVE:
        return None
    narrowing: dict[str, Any] = {}
    for duration in _numbers([text for text in typed.getlist("duration") if text]):
        if duration != left_of(asked).duration:
            narrowing["duration"] = duration
    if left_out := set(_numbers(typed.getlist("without_command"))):
        every = range(len(asked.command_set_version.document["commands"]))
        narrowing["commands"] = [index for index in every if index not in left_out]
    if left_out := set(_numbers(typed.getlist("without_target"))):
        narrowing["targets"] = [pk for pk in asked.targets if pk not in left_out]
    return narrowing or None


def _numbers(texts: list[str]) -> list[int]:
    numbers = [_whole(text) for text in texts]
    if None in numbers:
        raise InvalidInput("The form isn't valid.", hint="Reload the page and decide again.")
    return [number for number in numbers if number is not None]


def _each(texts: list[str]) -> set[int]:
    """Return the numeric strings as numbers."""
    return {number for text in texts if (number := _whole(text)) is not None}


def _whole(text: str) -> int | None:
    return int(text) if text.isdecimal() and len(text) < 12 else None


def _said(asked: AccessRequest) -> str:
    if asked.state == RequestState.APPROVED:
        return f"{asked.ref} approved. Access starts and ends automatically."
    if asked.state == RequestState.DENIED:
        return f"{asked.ref} denied. {asked.requester} can see your comment."
    return f"You approved {asked.ref}. More approvals are needed."
