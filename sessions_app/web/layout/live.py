"""Endpoints that a page polls to find out whether to update."""

from __future__ import annotations

import json

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt

from broker.kernel import clock
from sessions_app.web.layout.pulse import pulse as read_pulse
from sessions_app.web.layout.views import page, who


@page()
def pulse(request: HttpRequest) -> HttpResponse:
    """Return the changes since the page's last request; 204 if there are none."""
    seen = {name: _number(request.GET.get(name, "")) for name in ("after", "notice", "waiting")}
    found = read_pulse(who(request), seen, clock.now())
    if found is None:
        return HttpResponse(status=204)
    context = {
        "after": found.after,
        "notice": found.notice,
        "waiting": found.waiting,
        "unread": found.unread,
    }
    answer = render(request, "ui/_pulse.html", context)
    told = {"families": list(found.families), "say": found.say}
    answer["HX-Trigger-After-Swap"] = json.dumps({"stint:changed": told})
    return answer


def _number(text: str) -> int:
    return int(text) if text.isdecimal() and len(text) < 19 else 0


@csrf_exempt
@never_cache
def no_stream(_request: HttpRequest) -> HttpResponse:
    """Return 204 if no proxy routes the event stream. Browsers then stop reconnecting, and the page polls."""
    return HttpResponse(status=204)
