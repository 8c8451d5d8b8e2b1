"""Make an endpoint for webhooks what its document says."""

from __future__ import annotations

import datetime as dt

from broker.audit.actor import Actor
from broker.audit.events import Event
from broker.audit.queries import last_number
from broker.audit.record import record
from sessions_app.models import (
    WebhookEndpoint,
)
from sessions_app.operations.catalogue.catalogue_plan import Plan, note
from sessions_app.operations.notifications.webhook_endpoint import (
    check_address,
    endpoint_data,
    read_secret,
    set_owners,
)
from sessions_app.policy.webhooks import WebhookDocument


def write_webhook(
    document: WebhookDocument, plan: Plan, actor: Actor, now: dt.datetime, *, on_server: bool = False
) -> None:
    """Make an endpoint for webhooks what the document says. A new one is told of what happens from now on.

    ``on_server``: the document may name a secret of the server. Raises DocumentError.
    """
    endpoint = WebhookEndpoint.objects.filter(name=document.name).first()
    live = endpoint is not None and endpoint.removed_at is None
    before = endpoint_data(endpoint) if endpoint and live else None
    check_address(document)
    secret, other = read_secret(document.secret, endpoint if live else None, on_server=on_server)
    if endpoint is None:
        endpoint = WebhookEndpoint(name=document.name, created_at=now)
    endpoint.summary, endpoint.url, endpoint.scope = document.summary, document.url, document.scope
    endpoint.events, endpoint.sealed_secret = sorted(set(document.events)), secret
    if other:
        # A change of keys that was under way is over: what signed before the last one is nobody's any more.
        endpoint.sealed_previous, endpoint.previous_until = b"", None
    if not live:
        endpoint.after, endpoint.removed_at, endpoint.paused_at = last_number(), None, None
        endpoint.pause_reason, endpoint.failing_since, endpoint.failures = "", None, 0
    endpoint.save()
    set_owners(endpoint, document.owners)
    after = endpoint_data(endpoint)
    if before == after and not other:
        return
    shown = {**after, "secret": "(new)"} if other else after
    note(plan, "change" if before else "create", "webhook", document.name, before, shown)
    record(
        event=Event.WEBHOOK_CHANGED if before else Event.WEBHOOK_CREATED, actor=actor, object_type="webhook",
        object_ref=document.name, now=now,
        data={"host": document.host, "events": endpoint.events, "scope": endpoint.scope, "other_key": other,
              "owners": after.get("owners", {})},
    )  # fmt: skip
