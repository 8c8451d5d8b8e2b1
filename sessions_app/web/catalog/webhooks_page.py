"""Data for the webhook pages."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

import yaml
from django.db.models import Count
from django.urls import reverse

from accounts.models import Identity
from sessions_app.models import AccessPolicy, WebhookEndpoint, WebhookMessage, WebhookState
from sessions_app.operations.notifications.webhook_endpoint import endpoint_data
from sessions_app.policy.webhooks import EVENTS
from sessions_app.queries.requests import facts
from sessions_app.web.display.states import Linked, Look, plural
from sessions_app.web.layout.pagination import Page, page_of

# The number of messages on each page.
SHOWN = 20
# The page refreshes automatically while a message is due within this time.
SOON = dt.timedelta(seconds=10)
START = """\
name: chat
summary: Events for the on-call channel
url: https://hooks.example.com/stint
scope: policies
events:
  - request.created
  - request.escalated
  - grant.held
  - grant.revoking
"""


def endpoint_look(endpoint: WebhookEndpoint) -> Look:
    """Return the display style of an endpoint's state: a tone, an icon and a word."""
    if endpoint.paused_at:
        return Look("warn", "pause", "Paused")
    if endpoint.failing_since:
        return Look("bad", "alert", "Failing")
    return Look("ok", "check", "Delivering") if endpoint.sent_at else Look("mute", "clock", "No messages yet")


def message_look(message: WebhookMessage) -> Look:
    """Return the display style of a message's state."""
    if message.state == WebhookState.SENT:
        return Look("ok", "check", "Delivered")
    if message.state == WebhookState.FAILED:
        return Look("bad", "x", "Failed")
    return Look("warn", "clock", "Retrying" if message.attempts else "Pending")


@dataclass(frozen=True, slots=True)
class EndpointRow:
    """One endpoint in the list. ``waiting`` and ``failed`` count its messages."""

    endpoint: WebhookEndpoint
    look: Look
    waiting: int
    failed: int


def endpoints(reader: Identity) -> list[EndpointRow]:
    """Return the endpoints that the reader owns or administers, sorted by name."""
    mine = WebhookEndpoint.objects.live().visible_to(reader).order_by("name")
    counted = WebhookMessage.objects.filter(endpoint__in=mine).exclude(state=WebhookState.SENT)
    counts = {
        (pk, state): count
        for pk, state, count in counted.order_by().values_list("endpoint", "state").annotate(Count("pk"))
    }
    return [
        EndpointRow(
            one,
            endpoint_look(one),
            counts.get((one.pk, WebhookState.PENDING), 0),
            counts.get((one.pk, WebhookState.FAILED), 0),
        )
        for one in mine
    ]


@dataclass(frozen=True, slots=True)
class MessageRow:
    """One message in the list."""

    message: WebhookMessage
    look: Look

    @property
    def answer(self) -> str:
        """The receiver's last response, and the number of attempts."""
        sent = self.message
        times = plural(sent.attempts, "attempt") if sent.attempts > 1 else ""
        if sent.last_error:
            return f"{sent.last_error} {times}".strip()
        answered = f"{sent.last_status} in {sent.milliseconds} ms" if sent.last_status else ""
        return ", ".join(filter(None, (answered, times)))

    @property
    def next_attempt(self) -> dt.datetime | None:
        """The time of the next attempt; None before the first attempt."""
        return self.message.next_attempt_at if self.message.attempts else None


@dataclass(frozen=True, slots=True)
class EndpointPage:
    """One endpoint with its messages. ``events`` lists the subscribed events, each with its description.
    ``moving`` means that this is the newest page, and a message on it will be sent soon.
    """

    endpoint: WebhookEndpoint
    look: Look
    events: Sequence[tuple[str, str]]
    owners: Sequence[str]
    policies: Sequence[Linked]
    page: Page[WebhookMessage]
    rows: Sequence[MessageRow]
    both_until: dt.datetime | None
    may_set_up: bool
    moving: bool


def endpoint_page(
    endpoint: WebhookEndpoint, reader: Identity, *, before: str, now: dt.datetime
) -> EndpointPage:
    """Return an endpoint and its newest messages."""
    page = page_of(endpoint.messages.all(), key="pk", before=before, size=SHOWN)
    until = endpoint.previous_until
    return EndpointPage(
        endpoint=endpoint,
        look=endpoint_look(endpoint),
        events=[(name, EVENTS[name].summary) for name in endpoint.events if name in EVENTS],
        owners=[
            *endpoint.owner_groups.order_by("name").values_list("name", flat=True),
            *endpoint.owner_people.order_by("username").values_list("username", flat=True),
        ],
        policies=[Linked(name, reverse("policy", args=[name])) for name in _policies(endpoint, reader)],
        page=page,
        rows=[MessageRow(message, message_look(message)) for message in page.rows],
        both_until=until if until and until > now else None,
        may_set_up=reader.is_superuser,
        moving=not page.newer and not endpoint.paused_at and any(_is_due(one, now) for one in page.rows),
    )


def _is_due(message: WebhookMessage, now: dt.datetime) -> bool:
    if message.state != WebhookState.PENDING:
        return False
    return message.next_attempt_at is None or message.next_attempt_at <= now + SOON


def _policies(endpoint: WebhookEndpoint, reader: Identity) -> list[str]:
    """Return the policies that name the endpoint and that the reader can see."""
    found = AccessPolicy.objects.live().visible_to(reader).order_by("name").distinct()
    documents = ((policy.name, facts.readable_document(policy)) for policy in found)
    return [name for name, document in documents if document and endpoint.name in document.webhooks]


def text_of(endpoint: WebhookEndpoint) -> str:
    """Return an endpoint as the text of its catalog file, with the secret as ``(stored)``."""
    return yaml.safe_dump(endpoint_data(endpoint), sort_keys=False, allow_unicode=True, width=200)
