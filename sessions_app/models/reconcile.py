"""The latest observations of targets, and their differences from the expected state."""

from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.db.models import Q

from sessions_app.models.catalog import Target
from sessions_app.policy.references import LONGEST_GRANT


class Installation(models.Model):
    """The single row that identifies this installation, because other installations may use the same
    targets.
    """

    mark = models.CharField(max_length=8)

    class Meta:
        constraints: ClassVar = [models.CheckConstraint(condition=Q(pk=1), name="installation_once")]

    def __str__(self) -> str:
        return self.mark


class Observation(models.Model):
    """The latest observation of Stint's access on one target."""

    target = models.OneToOneField(Target, on_delete=models.CASCADE, related_name="observation")
    tried_at = models.DateTimeField()
    seen_at = models.DateTimeField(null=True, blank=True)
    # The number of grants with access on the target.
    grants = models.PositiveIntegerField(default=0)
    error = models.TextField(blank=True)
    # Roles that no grant may use, with the reason.
    unfit = models.JSONField(default=dict)

    def __str__(self) -> str:
        return f"observation of {self.target_id}"


class DriftKind(models.TextChoices):
    """The kind of a difference between a target and its expected state."""

    MISSING = "missing", "Access that a grant needs is missing"
    CHANGED = "changed", "Access was changed outside Stint"
    ORPHAN = "orphan", "Access is left over from an ended grant"


class Drift(models.Model):
    """One difference on a target, until it is resolved."""

    target = models.ForeignKey(Target, on_delete=models.CASCADE, related_name="drift")
    kind = models.CharField(max_length=8, choices=DriftKind.choices)
    mark = models.CharField(max_length=64)
    grant_ref = models.CharField(max_length=LONGEST_GRANT, blank=True)
    detail = models.TextField(blank=True)
    seen_at = models.DateTimeField()
    gone_at = models.DateTimeField(null=True, blank=True)
    error = models.TextField(blank=True)

    class Meta:
        default_permissions = ()
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["target", "kind", "mark"], condition=Q(gone_at__isnull=True), name="drift_once"
            )
        ]

    def __str__(self) -> str:
        return f"{self.kind} on {self.target_id}"
