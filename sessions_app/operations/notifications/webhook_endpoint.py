"""Webhook endpoints: between documents and stored rows."""

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
    """Return the networks that may be reached although they are not public, from the settings."""
    return [ipaddress.ip_network(text) for text in settings.WEBHOOK_NETWORKS]


def check_address(document: WebhookDocument) -> None:
    """Refuse an address that can never be reached. Raises DocumentError."""
    try:
        check_url(document.url, inner_networks())
    except Forbidden as error:
        raise DocumentError([Problem("url", error.message)]) from error


def new_secret() -> str:
    """Return a new signing secret, `whsec_…`."""
    return secret_of_key(secrets.token_bytes(KEY_BYTES))


def sealed(secret: str) -> bytes:
    """Return a signing secret in its stored form, encrypted."""
    return seal(secret.encode(), purpose=PURPOSE)


def read_secret(given: Any, before: WebhookEndpoint | None, *, on_server: bool) -> tuple[bytes, bool]:
    """Return the signing secret of a document, encrypted, and whether it differs from the one before.

    No secret, or ``(stored)``, keeps the stored one; a new endpoint gets a new one. Raises DocumentError.
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
    """Return the current signing keys, newest first. During a rotation, there are two. Raises CannotDecrypt."""
    kept = [bytes(endpoint.sealed_secret)]
    if endpoint.sealed_previous and endpoint.previous_until and endpoint.previous_until > now:
        kept.append(bytes(endpoint.sealed_previous))
    return [key_of_secret(unseal(one, purpose=PURPOSE).decode()) for one in kept]


def endpoint_data(endpoint: WebhookEndpoint) -> dict[str, Any]:
    """Return a stored endpoint in the form of its file, with ``(stored)`` as the secret."""
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
    """Return the people who are notified about the state of an endpoint: its owners or, if it has none, administrators
    of Stint.
    """
    people = Identity.objects.active()
    own = people.filter(groups__in=endpoint.owner_groups.all()) | people.filter(
        pk__in=endpoint.owner_people.values("pk")
    )
    return list(own.distinct()) or list(people.filter(is_superuser=True))


def lock_endpoint(endpoint_id: int, actor: Identity) -> WebhookEndpoint:
    """Lock an endpoint that the actor owns. Raises NotFound."""
    found = WebhookEndpoint.objects.live().visible_to(actor).select_for_update(no_key=True)
    endpoint = found.filter(pk=endpoint_id).first()
    if endpoint is None:
        raise NotFound("Webhook not found.")
    return endpoint
