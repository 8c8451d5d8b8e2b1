"""Views for webhooks: list, set up, test, pause and replay."""

from __future__ import annotations

import datetime as dt
from typing import Any

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render

from broker.kernel import clock
from broker.kernel.errors import NotFound, StintError
from sessions_app.models import WebhookEndpoint
from sessions_app.operations.notifications.pause_webhook import pause_webhook
from sessions_app.operations.notifications.replay_webhooks import replay_webhooks
from sessions_app.operations.notifications.resume_webhook import resume_webhook
from sessions_app.operations.notifications.rotate_webhook_secret import rotate_webhook_secret
from sessions_app.operations.notifications.try_webhook import try_webhook
from sessions_app.policy.webhooks import EVENTS
from sessions_app.web.catalog import webhooks_page as reads
from sessions_app.web.display.states import plural
from sessions_app.web.forms.documents import administered, edit_document, list_documents
from sessions_app.web.forms.removing import Removal, press_remove
from sessions_app.web.layout.views import ACT, FORM, page, who

# The periods that one click can replay, in hours, with their labels.
SPANS = ((1, "hour"), (24, "day"), (168, "week"))


@page()
def index(request: HttpRequest) -> HttpResponse:
    """List the webhook endpoints that the reader owns or administers."""
    return list_documents(request, "webhooks", reads.endpoints(who(request)), "catalog/webhooks.html")


@page()
def detail(request: HttpRequest, name: str) -> HttpResponse:
    """Show one endpoint and its messages."""
    return _page(request, name)


def _page(request: HttpRequest, name: str, *, status: int = 200, **more: Any) -> HttpResponse:
    found = _own(request, name)
    shown = reads.endpoint_page(found, who(request), before=request.GET.get("before", ""), now=clock.now())
    return render(request, "catalog/webhook.html", {"shown": shown, "spans": SPANS, **more}, status=status)


def _own(request: HttpRequest, name: str) -> WebhookEndpoint:
    """Return an endpoint that the reader owns or administers. Raises Http404 for any other."""
    return get_object_or_404(WebhookEndpoint.objects.live().visible_to(who(request)), name=name)


@page(FORM)
def new(request: HttpRequest) -> HttpResponse:
    """Create an endpoint."""
    if not who(request).is_superuser:
        raise Http404
    return _editor(request, None)


@page(FORM)
def edit(request: HttpRequest, name: str) -> HttpResponse:
    """Edit an endpoint."""
    return _editor(request, administered(request, WebhookEndpoint.objects.live(), name))


def _editor(request: HttpRequest, endpoint: WebhookEndpoint | None) -> HttpResponse:
    return edit_document(
        request,
        kind="webhooks",
        name=endpoint.name if endpoint else None,
        source=reads.text_of(endpoint) if endpoint else reads.START,
        template="catalog/webhook_edit.html",
        events=[(event, sent.summary) for event, sent in EVENTS.items()],
    )


@page(ACT)
def remove(request: HttpRequest, name: str) -> HttpResponse:
    """Show the effects of removing an endpoint. With ``confirm``, remove the endpoint."""
    _own(request, name)
    removal = Removal(
        "webhooks",
        "No more messages are sent to the webhook.",
        "No more messages are sent to the webhook, not even pending ones. Its history stays in the record.",
    )
    return press_remove(request, removal, name)


@page(ACT)
def try_it(request: HttpRequest, name: str) -> HttpResponse:
    """Send a test message."""
    try_webhook(endpoint_id=_own(request, name).pk, actor=who(request), now=clock.now())
    messages.success(request, "Test message queued. Its result appears below.")
    return redirect("webhook", name)


@page(ACT)
def pause(request: HttpRequest, name: str) -> HttpResponse:
    """Pause an endpoint. Its messages are queued until the endpoint is resumed."""
    pause_webhook(endpoint_id=_own(request, name).pk, actor=who(request), now=clock.now())
    messages.success(request, f"{name} is paused. New messages are queued.")
    return redirect("webhook", name)


@page(ACT)
def resume(request: HttpRequest, name: str) -> HttpResponse:
    """Resume an endpoint, and send the queued messages."""
    resume_webhook(endpoint_id=_own(request, name).pk, actor=who(request), now=clock.now())
    messages.success(request, f"{name} is active again.")
    return redirect("webhook", name)


@page(ACT)
def rotate(request: HttpRequest, name: str) -> HttpResponse:
    """Create a new signing secret. Only this response shows it."""
    overlap = dt.timedelta() if request.POST.get("at_once") == "1" else dt.timedelta(hours=24)
    secret = rotate_webhook_secret(
        endpoint_id=_own(request, name).pk, actor=who(request), now=clock.now(), overlap=overlap
    )
    return _page(request, name, secret=secret)


@page(ACT)
def replay(request: HttpRequest, name: str) -> HttpResponse:
    """Replay one message, or all messages from the last few hours."""
    now = clock.now()
    message, hours = request.POST.get("message", ""), request.POST.get("hours", "")
    since = now - dt.timedelta(hours=int(hours)) if hours in [str(span) for span, _ in SPANS] else None
    try:
        count = replay_webhooks(
            endpoint_id=_own(request, name).pk,
            actor=who(request),
            now=now,
            since=since,
            message_id=int(message) if message.isdecimal() and len(message) < 19 else None,
        )
    except NotFound:
        raise
    except StintError as error:
        return _page(request, name, status=error.status, error=error)
    messages.success(request, f"{plural(count, 'message')} queued again.")
    return redirect("webhook", name)
