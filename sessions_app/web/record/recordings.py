"""Views for recordings: the list, the player and the file. Each view by a person is recorded."""

from __future__ import annotations

import math

from django.http import FileResponse, Http404, HttpRequest, HttpResponse
from django.shortcuts import render

from broker.kernel import clock
from sessions_app.models import CommandRun
from sessions_app.operations.sessions.watch_recording import watch_recording
from sessions_app.queries.record.recording_content import readable
from sessions_app.web.display.states import run_result
from sessions_app.web.layout.views import page, who
from sessions_app.web.record.recordings_page import recordings, replay

MAX_QUERY = 100
# One day, which is longer than any recording.
LONGEST = 86400.0


@page()
def index(request: HttpRequest) -> HttpResponse:
    """List the recordings that the reader can see, latest first."""
    asked = {
        name: request.GET.get(name, "").strip()[:MAX_QUERY] for name in ("cluster", "person", "grant", "text")
    }
    found = recordings(
        who(request),
        before=request.GET.get("before", ""),
        cluster=asked["cluster"],
        person=asked["person"],
        grant=asked["grant"],
        text=asked["text"],
    )
    context = {
        "page": found,
        "rows": [(run, run_result(run)) for run in found.rows],
        "asked": asked,
        "filtered": any(asked.values()),
    }
    return render(request, "record/recordings.html", context)


@page(writes=True)
def detail(request: HttpRequest, run: int) -> HttpResponse:
    """Show one recording, to be watched, read and searched."""
    found = _watched(request, run)
    wanted = request.GET.get("q", "").strip()[:MAX_QUERY]
    shown = replay(found, wanted=wanted, start=_moment(request.GET.get("t", "")))
    return render(request, "record/recording.html", {"replay": shown, "run": found, "grant": found.grant})


@page(writes=True)
def cast(request: HttpRequest, run: int) -> HttpResponse:
    """Download a recording as asciicast v2."""
    found = _watched(request, run)
    file = readable(found)
    if file is None:
        raise Http404
    return FileResponse(  # type: ignore[return-value]  # a page can return any kind of response
        file,
        content_type="application/x-asciicast",
        filename=f"{found.grant.ref}-{found.pk}.cast",
    )


def _watched(request: HttpRequest, run: int) -> CommandRun:
    return watch_recording(run_id=run, actor=who(request), now=clock.now())


def _moment(text: str) -> float:
    """Return the time in seconds from an address; 0 if it isn't a number."""
    try:
        seconds = float(text[:20])
    except ValueError:
        return 0.0
    return min(max(0.0, seconds), LONGEST) if math.isfinite(seconds) else 0.0
