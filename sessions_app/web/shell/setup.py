"""The parts of the setup that concern a reader, besides clusters, command sets and policies."""

from __future__ import annotations

from typing import NamedTuple

from django.db.models import Exists

from accounts.models import Identity
from sessions_app.models import TrustPolicy, WebhookEndpoint


class Setup(NamedTuple):
    """For each part, whether the reader can see or set up any of it."""

    sources: bool
    webhooks: bool
    trust_policies: bool


def setup_of(reader: Identity) -> Setup:
    """Return which parts of the setup concern the reader. It takes at most one query, because every page calls it."""
    if reader.is_superuser:
        return Setup(sources=True, webhooks=True, trust_policies=True)
    webhooks = Exists(WebhookEndpoint.objects.live().visible_to(reader))
    trust = Exists(TrustPolicy.objects.live().visible_to(reader))
    found = Identity.objects.filter(pk=reader.pk).values_list(webhooks, trust)
    return Setup(False, *found.get())
