"""Convert webhook endpoints between documents and stored rows."""

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
from broker.kernel.crypto import CannotDecrypt, place_of, seal, unseal
from broker.kernel.errors import NotFound
from broker.kernel.networks import Network
from sessions_app.models import WebhookEndpoint
from sessions_app.notifications.webhook import Forbidden, check_url
from sessions_app.operations.targets.cluster_connection import STORED, secret_of_server
from sessions_app.policy.documents import DocumentError, Problem
from sessions_app.policy.policies import Who
from sessions_app.policy.webhooks import WebhookDocument, key_of_secret, secret_of_key

KEY_BYTES = 32


def inner_networks() -> list[Network]:
    """Return the private networks that webhooks may reach, from the settings."""
    return [ipaddress.ip_network(text) for text in settings.WEBHOOK_NETWORKS]


def check_address(document: WebhookDocument) -> None:
    """Reject an address that webhooks must never reach. Raises DocumentError."""
    try:
        check_url(document.url, inner_networks())
    except Forbidden as error:
        raise DocumentError([Problem("url", error.message)]) from error


def new_secret() -> str:
    """Return a new signing secret, `whsec_…`."""
    return secret_of_key(secrets.token_bytes(KEY_BYTES))


def put_secret(endpoint: WebhookEndpoint, secret: str) -> None:
    """Set the signing secret of an endpoint, encrypted for its row."""
    endpoint.sealed_secret = _sealed(endpoint, "sealed_secret", secret)


def keep_previous(endpoint: WebhookEndpoint) -> None:
    """Make the current signing secret the previous one. A secret that can't be decrypted is dropped."""
    secret = _stored(endpoint)
    endpoint.sealed_previous = _sealed(endpoint, "sealed_previous", secret) if secret else b""


def read_secret(given: Any, before: WebhookEndpoint | None, *, on_server: bool) -> str | None:
    """Return the new signing secret for an endpoint's document; None to keep the stored one.

    If the secret is missing or ``(stored)``, the stored secret is kept; a new endpoint gets a generated
    secret. Raises DocumentError.
    """
    if given is None or given == STORED:
        return None if before is not None and before.sealed_secret else new_secret()
    try:
        text = secret_of_server(given, on_server=on_server)
        key_of_secret(text)
    except ValueError as error:
        raise DocumentError([Problem("secret", str(error))]) from error
    return None if before is not None and text == _stored(before) else text


def _sealed(endpoint: WebhookEndpoint, field: str, secret: str) -> bytes:
    return seal(secret.encode(), place=place_of(endpoint, field))


def _opened(endpoint: WebhookEndpoint, field: str) -> str:
    return unseal(bytes(getattr(endpoint, field)), place=place_of(endpoint, field)).decode()


def _stored(endpoint: WebhookEndpoint) -> str | None:
    try:
        return _opened(endpoint, "sealed_secret")
    except CannotDecrypt:
        return None


def signing_keys(endpoint: WebhookEndpoint, now: dt.datetime) -> Sequence[bytes]:
    """Return the current signing keys, newest first. During a rotation, there are two. Raises
    CannotDecrypt.
    """
    fields = ["sealed_secret"]
    if endpoint.sealed_previous and endpoint.previous_until and endpoint.previous_until > now:
        fields.append("sealed_previous")
    return [key_of_secret(_opened(endpoint, field)) for field in fields]


def endpoint_data(endpoint: WebhookEndpoint) -> dict[str, Any]:
    """Return a stored endpoint in the format of its file, with ``(stored)`` as the secret."""
    groups = sorted(endpoint.owner_groups.values_list("name", flat=True))
    people = sorted(endpoint.owner_people.values_list("username", flat=True))
    owners = {key: names for key, names in (("groups", groups), ("identities", people)) if names}
    data = {
        "name": endpoint.name,
        "summary": endpoint.summary,
        "url": endpoint.url,
        "events": sorted(endpoint.events),
        "scope": endpoint.scope,
        "owners": owners,
        "secret": STORED,
    }
    return {key: value for key, value in data.items() if value and (key, value) != ("scope", "policies")}


def set_owners(endpoint: WebhookEndpoint, who: Who | None) -> None:
    """Make exactly these groups and identities the owners of the endpoint."""
    names = who.groups if who else ()
    endpoint.owner_groups.set([Group.objects.get_or_create(name=name)[0] for name in names])
    people = [canonical_username(name) for name in (who.identities if who else ())]
    endpoint.owner_people.set(Identity.objects.filter(username__in=people))


def owners_of(endpoint: WebhookEndpoint) -> list[Identity]:
    """Return the people to notify about the state of an endpoint: its owners or, if there are none, Stint
    administrators.
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
