"""Update a webhook endpoint to match its document."""

from __future__ import annotations

import datetime as dt

from broker.audit.actor import Actor
from broker.audit.events import Event
from broker.audit.queries import last_number
from broker.audit.record import record
from sessions_app.models import (
    WebhookEndpoint,
)
from sessions_app.operations.catalog.catalog_plan import Plan, note
from sessions_app.operations.notifications.webhook_endpoint import (
    check_address,
    endpoint_data,
    put_secret,
    read_secret,
    set_owners,
)
from sessions_app.policy.webhooks import WebhookDocument


def write_webhook(
    document: WebhookDocument, plan: Plan, actor: Actor, now: dt.datetime, *, on_server: bool = False
) -> None:
    """Update a webhook endpoint to match the document.

    A new or restored endpoint receives only later events.

    With ``on_server``, the document may refer to a secret on the server. Raises DocumentError.
    """
    stored = WebhookEndpoint.objects.filter(name=document.name).first()
    live = stored if stored and stored.removed_at is None else None
    before = endpoint_data(live) if live else None
    check_address(document)
    secret = read_secret(document.secret, live, on_server=on_server)
    # A restored endpoint reuses the row of the removed one, but none of its state.
    endpoint = live or WebhookEndpoint(
        pk=stored.pk if stored else None, name=document.name, created_at=now, after=last_number()
    )
    endpoint.summary, endpoint.url, endpoint.scope = document.summary, document.url, document.scope
    endpoint.events, other = sorted(set(document.events)), secret is not None
    if secret is not None:
        put_secret(endpoint, secret)
        # A key rotation in progress ends: the previous key is no longer accepted.
        endpoint.sealed_previous, endpoint.previous_until = b"", None
    endpoint.save()
    set_owners(endpoint, document.owners)
    after = endpoint_data(endpoint)
    if before == after and not other:
        return
    shown = {**after, "secret": "(new)"} if other else after
    note(plan, "change" if before else "create", "webhook", document.name, before, shown)
    record(
        event=Event.WEBHOOK_CHANGED if before else Event.WEBHOOK_CREATED,
        actor=actor,
        object_type="webhook",
        object_ref=document.name,
        now=now,
        data={
            "host": document.host,
            "events": endpoint.events,
            "scope": endpoint.scope,
            "other_key": other,
            "owners": after.get("owners", {}),
        },
    )
