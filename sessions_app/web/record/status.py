"""The view for the Status page."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from broker.kernel import clock
from sessions_app.web.layout.views import page, who
from sessions_app.web.record.status_page import status


@page()
def index(request: HttpRequest) -> HttpResponse:
    """Show how quickly access ended in recent days, and what is failing now."""
    return render(request, "record/status.html", {"status": status(who(request), clock.now())})
