"""Lists of current failures. Metrics count them, and the Status page shows them."""

from __future__ import annotations

from django.db.models import QuerySet

from sessions_app.models import (
    Drift,
    Grant,
    GrantQuerySet,
    Lease,
    Observation,
    WebhookEndpoint,
    WorkflowSource,
)


def failing_ends() -> GrantQuerySet:
    """Return the grants whose end a target has not confirmed, with an error."""
    failing = Lease.objects.filter(gone_at__isnull=True, failed_at__isnull=False).exclude(last_error="")
    return Grant.objects.not_ended().filter(pk__in=failing.values("grant"))


def observed_targets() -> QuerySet[Observation]:
    """Return the latest observation of each target that is reconciled."""
    return Observation.objects.filter(
        target__removed_at__isnull=True, target__cluster__removed_at__isnull=True
    )


def failing_targets() -> QuerySet[Observation]:
    """Return the latest observations of targets that could not be read."""
    return observed_targets().exclude(error="")


def unresolved_drift() -> QuerySet[Drift]:
    """Return the differences on targets that are not resolved."""
    return Drift.objects.filter(
        gone_at__isnull=True, target__removed_at__isnull=True, target__cluster__removed_at__isnull=True
    )


def failing_sources() -> QuerySet[WorkflowSource]:
    """Return the workflow sources that did not respond to the last query."""
    return WorkflowSource.objects.live().exclude(last_error="")


def paused_webhooks() -> QuerySet[WebhookEndpoint]:
    """Return the webhooks that are paused."""
    return WebhookEndpoint.objects.live().filter(paused_at__isnull=False)


def failing_webhooks() -> QuerySet[WebhookEndpoint]:
    """Return the webhooks whose last delivery failed."""
    return WebhookEndpoint.objects.live().filter(failing_since__isnull=False)
