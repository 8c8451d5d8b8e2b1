"""An endpoint for webhooks, between what a document says and what is stored."""

from __future__ import annotations

import datetime as dt
import ipaddress
import secrets
from collections.abc import Sequence
from typing import Any

from django.conf import settings
from django.contrib.auth.models import Group

from accounts.models import Identity
from accounts.names import canonical_username
from broker.kernel.crypto import CannotDecrypt, seal, unseal
from broker.kernel.errors import NotFound
from broker.kernel.networks import Network
from sessions_app.models import WebhookEndpoint
from sessions_app.notifications.webhook import Forbidden, check_url
from sessions_app.operations.targets.cluster_connection import STORED, secret_of_server
from sessions_app.policy.documents import DocumentError, Problem
from sessions_app.policy.policies import Who
from sessions_app.policy.webhooks import WebhookDocument, key_of_secret, secret_of_key

PURPOSE = "webhook secret"
KEY_BYTES = 32


def inner_networks() -> list[Network]:
    """Return the networks that are not public and may be sent to all the same, as the settings say."""
    return [ipaddress.ip_network(text) for text in settings.WEBHOOK_NETWORKS]


def check_address(document: WebhookDocument) -> None:
    """Refuse an address to which nothing could ever be sent. Raises DocumentError."""
    try:
        check_url(document.url, inner_networks())
    except Forbidden as error:
        raise DocumentError([Problem("url", error.message)]) from error


def new_secret() -> str:
    """Return a fresh signing secret, `whsec_…`."""
    return secret_of_key(secrets.token_bytes(KEY_BYTES))


def sealed(secret: str) -> bytes:
    """Return a signing secret as it is stored."""
    return seal(secret.encode(), purpose=PURPOSE)


def read_secret(given: Any, before: WebhookEndpoint | None, *, on_server: bool) -> tuple[bytes, bool]:
    """Return the signing secret that a document means, sealed, and whether it is another one than before.

    Nothing given, or ``(stored)``, keeps the stored one; a new endpoint gets a fresh one. Raises DocumentError.
    """
    if given is None or given == STORED:
        if before is not None and before.sealed_secret:
            return bytes(before.sealed_secret), False
        return sealed(new_secret()), True
    try:
        text = secret_of_server(given, on_server=on_server)
        key_of_secret(text)
    except ValueError as error:
        raise DocumentError([Problem("secret", str(error))]) from error
    if before is not None and text == _stored(before):
        return bytes(before.sealed_secret), False
    return sealed(text), True


def _stored(endpoint: WebhookEndpoint) -> str | None:
    try:
        return unseal(bytes(endpoint.sealed_secret), purpose=PURPOSE).decode()
    except CannotDecrypt:
        return None


def signing_keys(endpoint: WebhookEndpoint, now: dt.datetime) -> Sequence[bytes]:
    """Return the keys that sign now, the newest first: while a change of keys lasts, both. Raises CannotDecrypt."""
    kept = [bytes(endpoint.sealed_secret)]
    if endpoint.sealed_previous and endpoint.previous_until and endpoint.previous_until > now:
        kept.append(bytes(endpoint.sealed_previous))
    return [key_of_secret(unseal(one, purpose=PURPOSE).decode()) for one in kept]


def endpoint_data(endpoint: WebhookEndpoint) -> dict[str, Any]:
    """Return a stored endpoint as its file would say it; the secret as ``(stored)``."""
    groups = sorted(endpoint.owner_groups.values_list("name", flat=True))
    people = sorted(endpoint.owner_people.values_list("username", flat=True))
    owners = {key: names for key, names in (("groups", groups), ("identities", people)) if names}
    data = {
        "name": endpoint.name, "summary": endpoint.summary, "url": endpoint.url, "events": sorted(endpoint.events),
        "scope": endpoint.scope, "owners": owners, "secret": STORED,
    }  # fmt: skip
    return {key: value for key, value in data.items() if value and (key, value) != ("scope", "policies")}


def set_owners(endpoint: WebhookEndpoint, who: Who | None) -> None:
    """Make exactly these groups and identities own the endpoint."""
    names = who.groups if who else ()
    endpoint.owner_groups.set([Group.objects.get_or_create(name=name)[0] for name in names])
    people = [canonical_username(name) for name in (who.identities if who else ())]
    endpoint.owner_people.set(Identity.objects.filter(username__in=people))


def owners_of(endpoint: WebhookEndpoint) -> list[Identity]:
    """Return the people who are told how an endpoint fares: its owners, or, without any, administrators of Stint."""
    people = Identity.objects.active()
    own = people.filter(groups__in=endpoint.owner_groups.all()) | people.filter(
        pk__in=endpoint.owner_people.values("pk")
    )
    return list(own.distinct()) or list(people.filter(is_superuser=True))


def lock_endpoint(endpoint_id: int, actor: Identity) -> WebhookEndpoint:
    """Lock an endpoint that the actor may look after. Raises NotFound."""
    found = WebhookEndpoint.objects.live().visible_to(actor).select_for_update(no_key=True)
    endpoint = found.filter(pk=endpoint_id).first()
    if endpoint is None:
        raise NotFound("Webhook not found.")
    return endpoint
