"""Views for the reader's notifications."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render

from broker.kernel import clock
from sessions_app.models import Notice
from sessions_app.operations.notifications.read_all_notices import read_all_notices
from sessions_app.operations.notifications.read_notice import read_notice
from sessions_app.queries.notifications.notices import outcome_of, unread_ids, with_outcomes
from sessions_app.web.layout.pagination import page_of
from sessions_app.web.layout.views import ACT, page, who

MOST_NEW = 50


@page()
def index(request: HttpRequest) -> HttpResponse:
    """List the reader's notifications: unread ones that still need attention first, then the others, page by
    page.
    """
    me, now = who(request), clock.now()
    before = request.GET.get("before", "")
    unread = unread_ids(me, now)
    new = [] if before else list(Notice.objects.filter(pk__in=unread[:MOST_NEW]).order_by("-pk"))
    others = Notice.objects.filter(identity=me).exclude(pk__in=unread)
    page = page_of(with_outcomes(others, me, now), key="pk", before=before)
    context = {
        "new": new,
        "more": not before and len(unread) > MOST_NEW,
        "page": page,
        "outcomes": {notice.pk: outcome_of(notice, now) for notice in page.rows},
    }
    return render(request, "notifications/notices.html", context)


@page(ACT)
def read(request: HttpRequest, notice: int) -> HttpResponse:
    """Mark a notification as read. With ``open``, go to the page that the notification is about."""
    found = read_notice(notice_id=notice, actor=who(request), now=clock.now())
    return redirect(found.path if request.POST.get("open") == "1" else "notices")


@page(ACT)
def read_all(request: HttpRequest) -> HttpResponse:
    """Mark the notifications that the page showed as read, but no later ones."""
    newest = request.POST.get("newest", "")
    count = read_all_notices(
        newest=int(newest) if newest.isdecimal() and len(newest) < 19 else 0,
        actor=who(request),
        now=clock.now(),
    )
    messages.success(request, f"{count} {'notification' if count == 1 else 'notifications'} marked as read.")
    return redirect("notices")
