"""What one was told."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render

from broker.kernel import clock
from sessions_app.models import Notice
from sessions_app.operations.read_all_notices import read_all_notices
from sessions_app.operations.read_notice import read_notice
from sessions_app.web.doors import ACT, page, who
from sessions_app.web.reads.pages import page_of

MOST_NEW = 50


@page()
def index(request: HttpRequest) -> HttpResponse:
    """One's own notices: those not read yet, then the others, a page at a time."""
    own = Notice.objects.filter(identity=who(request))
    before = request.GET.get("before", "")
    new = [] if before else list(own.filter(read_at__isnull=True).order_by("-pk")[: MOST_NEW + 1])
    context = {
        "new": new[:MOST_NEW],
        "more": len(new) > MOST_NEW,
        "page": page_of(own.filter(read_at__isnull=False), key="pk", before=before),
    }
    return render(request, "sessions/notices.html", context)


@page(ACT)
def read(request: HttpRequest, notice: int) -> HttpResponse:
    """Mark a notice as read; with ``open`` go on to the page that it is about."""
    found = read_notice(notice_id=notice, actor=who(request), now=clock.now())
    return redirect(found.path if request.POST.get("open") == "1" else "notices")


@page(ACT)
def read_all(request: HttpRequest) -> HttpResponse:
    """Mark as read all that the page showed, and nothing that came after it."""
    newest = request.POST.get("newest", "")
    count = read_all_notices(
        newest=int(newest) if newest.isdecimal() and len(newest) < 19 else 0,
        actor=who(request),
        now=clock.now(),
    )
    messages.success(request, f"{count} {'notice is' if count == 1 else 'notices are'} marked as read.")
    return redirect("notices")
