"""Home, and the page that lists all others."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render

from broker.kernel import clock
from sessions_app.web.home.welcome_page import starts_with_nothing
from sessions_app.web.shell.doors import page, who
from sessions_app.web.shell.home_page import home as read_home
from sessions_app.web.workflows.incidents_page import calls_for


@page()
def home(request: HttpRequest) -> HttpResponse:
    """What needs me, what I hold, what I asked for, who has access now."""
    me, now = who(request), clock.now()
    if starts_with_nothing(me):
        return redirect("welcome")
    return render(request, "home/home.html", {"home": read_home(me, now), "calls": calls_for(me), "now": now})


@page()
def more(request: HttpRequest) -> HttpResponse:
    """Every page, for small screens."""
    return render(request, "ui/more.html")
