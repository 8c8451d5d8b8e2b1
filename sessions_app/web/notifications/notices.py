"""Views for the reader's notifications."""

from __future__ import annotations

import datetime as dt
import functools

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render

from accounts.models import Identity
from broker.kernel import clock
from broker.kernel.postgresql.rows import Rows
from sessions_app.models import Notice
from sessions_app.models.notice import NoticeQuerySet
from sessions_app.operations.notifications.read_all_notices import read_all_notices
from sessions_app.operations.notifications.read_notice import read_notice
from sessions_app.queries.notifications.notices import outcome_of, unread_ids, with_outcomes
from sessions_app.queries.statements.composed import Listed, among
from sessions_app.queries.statements.related_names import with_approvals
from sessions_app.web.layout.pagination import SIZE, page_from
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
    new = [] if before else _NEW(unread[:MOST_NEW])
    others = functools.partial(_OTHERS, me, now)
    page = page_from(lambda limit: others(unread=unread, below=limit), key="pk", before=before)
    with_approvals(notice.request for notice in page.rows if notice.request)
    context = {
        "new": new,
        "more": not before and len(unread) > MOST_NEW,
        "page": page,
        "outcomes": {notice.pk: outcome_of(notice, now) for notice in page.rows},
    }
    return render(request, "notifications/notices.html", context)


def _others(reader: Identity, now: dt.datetime, unread: list[int], below: int) -> NoticeQuerySet:
    found = Notice.objects.filter(identity=reader, pk__lt=below).exclude(among("pk", unread))
    # `with_approvals` takes the place of what `with_outcomes` would prefetch.
    return with_outcomes(found, reader, now).prefetch_related(None).order_by("-pk")[: SIZE + 1]


_OTHERS = Listed(_others, unread=list, below=int)
_NEW = Rows(Notice, tail="WHERE sessions_app_notice.id = ANY(%s) ORDER BY sessions_app_notice.id DESC")


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
