"""Views for the home page and the list of all pages."""

from __future__ import annotations

from collections.abc import Sequence

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render

from broker.kernel import clock
from sessions_app.web.home.home_page import Home, RefusedRequest
from sessions_app.web.home.home_page import home as read_home
from sessions_app.web.home.welcome_page import starts_with_nothing
from sessions_app.web.layout.frame import frame_of
from sessions_app.web.layout.views import page, who
from sessions_app.web.workflows.on_call import calls_for


@page()
def home(request: HttpRequest) -> HttpResponse:
    """Show the items that need the reader's attention, the reader's grants and requests, and who has access
    now.
    """
    me, now = who(request), clock.now()
    if starts_with_nothing(me):
        return redirect("welcome")
    found = read_home(me, now, frame_of(request).standing.waiting)
    calls = calls_for(me) if found.on_call else []
    waiting = f"{found.waiting:,} item{' needs' if found.waiting == 1 else 's need'} your attention"
    context = {
        "home": found,
        "calls": calls,
        "title": waiting if found.waiting else "Home",
        "heading": waiting if found.waiting else _heading(found, on_call=bool(calls)),
    }
    return render(request, "home/home.html", context)


def _heading(found: Home, *, on_call: bool) -> str:
    """Return the heading for a reader without pending items: the most important fact."""
    if on_call:
        return "You are on call"
    if found.glass:
        return "Break-glass access is active"
    if found.failing:
        return "A revocation is not confirmed"
    if found.troubles:
        return "Stint needs attention"
    if found.reduced:
        return "A request that you approved was reduced"
    return _not_granted(found.refused) or "You're all caught up"


def _not_granted(refused: Sequence[RefusedRequest]) -> str:
    """Return the heading for a reader whose requests were recently not granted; empty if there are no such
    requests.
    """
    if len(refused) > 1:
        return "Your latest requests were not granted"
    denied = any(one.denials for one in refused)
    return f"Your request {'was denied' if denied else 'expired'}" if refused else ""


@page()
def more(request: HttpRequest) -> HttpResponse:
    """Show a list of every page, for small screens."""
    return render(request, "ui/more.html")
