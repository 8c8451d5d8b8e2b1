"""Queue record entries for the endpoints that subscribe to them.

The record is read from the last position. Each entry is written in the transaction of its action, and entries
are in commit order. So no event is missed, no event is sent for an action that didn't happen, and no action
waits for webhooks.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any

import structlog
from django.conf import settings
from django.db import DatabaseError, transaction
from django.db.models import QuerySet

from accounts.models import Identity
from broker.audit.events import Event
from broker.audit.models import MAIN_LOG, AuditEntry
from broker.audit.queries import last_number
from broker.kernel.errors import StintError
from sessions_app.models import (
    AccessPolicy,
    AccessRequest,
    Grant,
    WebhookEndpoint,
    WebhookMessage,
    WebhookScope,
    WebhookState,
)
from sessions_app.operations.notifications.combine_webhooks import combine_webhooks
from sessions_app.policy import references
from sessions_app.policy.webhooks import Subject, message
from sessions_app.queries.requests import facts
from sessions_app.queries.statements.related_names import with_names

log = structlog.get_logger(__name__)

BATCH = 500
# Events that ask approvers to decide.
_ASKING = frozenset(
    (
        Event.REQUEST_CREATED,
        Event.REQUEST_REMINDED,
        Event.REQUEST_ESCALATED,
        Event.COMMAND_HELD,
        Event.COMMAND_ESCALATED,
    )
)
_PAGES = {"request": "requests", "grant": "grants", "workflow": "incidents", "identity": "people"}


def gather_webhooks(*, now: dt.datetime) -> int:
    """Write a message for each new entry that an endpoint subscribes to. Return the number of messages. Run
    this every second.

    Messages of a paused endpoint wait in the queue.
    """
    head = last_number()
    return sum(_guarded(pk, head, now) for pk in _behind(head))


def endpoints_behind() -> bool:
    """Whether there are new entries that an endpoint may subscribe to."""
    return _behind(last_number()).exists()


def _behind(head: int) -> QuerySet[WebhookEndpoint, int]:
    return WebhookEndpoint.objects.live().filter(after__lt=head).values_list("pk", flat=True)


def _guarded(endpoint_id: int, head: int, now: dt.datetime) -> int:
    """Gather entries for one endpoint. A failure, such as a row that can't be read, delays no other
    endpoint.
    """
    try:
        return _gather(endpoint_id, head, now)
    except (StintError, DatabaseError, ValueError):
        log.exception("webhooks.not_gathered", endpoint=endpoint_id)
        return 0


def _gather(endpoint_id: int, head: int, now: dt.datetime) -> int:
    with transaction.atomic():
        endpoint = (
            WebhookEndpoint.objects.live()
            .select_for_update(skip_locked=True, no_key=True)
            .filter(pk=endpoint_id)
            .first()
        )
        if endpoint is None:
            return 0
        wanted = AuditEntry.objects.filter(
            log=MAIN_LOG, seq__gt=endpoint.after, seq__lte=head, event__in=endpoint.events
        )
        entries = list(wanted.order_by("seq")[:BATCH])
        # If the batch is full, the next run reads the later entries.
        seen = entries[-1].seq if len(entries) == BATCH else head
        WebhookEndpoint.objects.filter(pk=endpoint.pk).update(after=seen)
        return len(queue(endpoint, entries, now, combine=endpoint.scope == WebhookScope.POLICIES))


def queue(
    endpoint: WebhookEndpoint, entries: Sequence[AuditEntry], now: dt.datetime, *, combine: bool = False
) -> list[WebhookMessage]:
    """Write the messages for the entries that the endpoint subscribes to. Existing messages stay unchanged.

    With ``combine``, one sender's many messages to approvers become one digest, as in `notify_approvers`.
    """
    about = _Things(entries)
    found = [_message(endpoint, entry, about, now) for entry in entries if _is_told(endpoint, entry, about)]
    if combine:
        found = combine_webhooks(endpoint=endpoint, found=found, now=now)
    return WebhookMessage.objects.bulk_create(found, ignore_conflicts=True)


def _is_told(endpoint: WebhookEndpoint, entry: AuditEntry, about: _Things) -> bool:
    if endpoint.scope == WebhookScope.EVERYTHING or endpoint.name in entry.data.get("webhooks", ()):
        return True
    policy = about.policy_of(entry)
    document = facts.readable_document(policy) if policy else None
    return document is not None and document.notify is not None and endpoint.name in document.notify.webhooks


def _message(
    endpoint: WebhookEndpoint, entry: AuditEntry, about: _Things, now: dt.datetime
) -> WebhookMessage:
    page, (sender, urgent) = _PAGES.get(entry.object_type), about.sender_of(entry)
    subject = Subject(
        type=entry.object_type,
        ref=entry.object_ref,
        actor=entry.actor,
        names=about.names_of(entry),
        url=f"{settings.PUBLIC_URL}/{page}/{entry.object_ref}/" if page else f"{settings.PUBLIC_URL}/record/",
    )
    return WebhookMessage(
        endpoint=endpoint,
        key=f"msg_{endpoint.pk}_{entry.seq}",
        entry=entry.seq,
        event=entry.event,
        object_ref=entry.object_ref,
        created_at=now,
        next_attempt_at=now,
        state=WebhookState.PENDING,
        sender=sender,
        urgent=urgent,
        payload=message(event=entry.event, at=entry.at, entry=entry.seq, about=subject, data=entry.data),
    )


class _Things:
    """The requests and grants that entries are about, loaded together."""

    def __init__(self, entries: Sequence[AuditEntry]) -> None:
        refs = {
            kind: {entry.object_ref for entry in entries if entry.object_type == kind}
            for kind in ("grant", "request")
        }
        numbers = filter(None, map(references.request_number, refs["request"]))
        grants = with_names(Grant.objects.filter(ref__in=refs["grant"]), rules=True)
        requests = with_names(AccessRequest.objects.filter(number__in=numbers), rules=True)
        self._found: dict[str, Grant | AccessRequest] = {}
        grants = grants.select_related("request", "workflow", "holder__owner")
        self._found |= {grant.ref: grant for grant in grants}
        requests = requests.select_related("workflow", "requester__owner", "extends__request")
        self._found |= {request.ref: request for request in requests}

    def policy_of(self, entry: AuditEntry) -> AccessPolicy | None:
        found = self._found.get(entry.object_ref)
        return found.policy if found else None

    def sender_of(self, entry: AuditEntry) -> tuple[Identity | None, bool]:
        """If an entry asks approvers to decide, return the person who waits for them, and whether the
        item is urgent.
        """
        found = self._found.get(entry.object_ref)
        if found is None or entry.event not in _ASKING:
            return None, False
        who = found.holder if isinstance(found, Grant) else found.requester
        request = found.request if isinstance(found, Grant) else found
        return who.owner or who, request.is_urgent

    def names_of(self, entry: AuditEntry) -> Mapping[str, Any]:
        found = self._found.get(entry.object_ref)
        if found is None:
            return {}
        if isinstance(found, Grant):
            own = {
                "grant": found.ref,
                "request": found.request.ref,
                "starts_at": found.starts_at.isoformat(),
                "expires_at": found.expires_at.isoformat(),
            }
        else:
            own = {"request": found.ref}
        who = found.holder if isinstance(found, Grant) else found.requester
        return {
            **own,
            "holder": who.username,
            "holder_kind": who.kind,
            "cluster": found.cluster.name,
            "command_set": str(found.command_set_version),
            "policy": found.policy.name,
            "workflow": found.workflow.ref if found.workflow else None,
        }
