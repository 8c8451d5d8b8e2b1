"""What of the set-up a reader has to do with, besides clusters, command sets and policies."""

from __future__ import annotations

from typing import NamedTuple

from django.db.models import Exists

from accounts.models import Identity
from sessions_app.models import TrustPolicy, WebhookEndpoint


class Setup(NamedTuple):
    """Whether the reader can see any of each, or set one up."""

    sources: bool
    webhooks: bool
    trust_policies: bool


def setup_of(reader: Identity) -> Setup:
    """Return what the reader has to do with, by one query at most: every page asks."""
    if reader.is_superuser:
        return Setup(sources=True, webhooks=True, trust_policies=True)
    webhooks = Exists(WebhookEndpoint.objects.live().visible_to(reader))
    trust = Exists(TrustPolicy.objects.live().visible_to(reader))
    found = Identity.objects.filter(pk=reader.pk).values_list(webhooks, trust)
    return Setup(False, *found.get())
