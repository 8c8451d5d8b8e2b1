"""Checks of targets."""

from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from accounts.models import Identity
from sessions_app.models.catalog import Target


class TargetCheck(models.Model):
    """One check of a target, requested on the cluster's page and carried out by a worker."""

    target = models.ForeignKey(Target, on_delete=models.PROTECT, related_name="checks")
    asked_by = models.ForeignKey(Identity, on_delete=models.PROTECT, related_name="+")
    asked_at = models.DateTimeField(db_default=Now())
    finished_at = models.DateTimeField(null=True, blank=True)
    ok = models.BooleanField(null=True)
    steps = models.JSONField(default=list)

    class Meta:
        default_permissions = ()
        indexes: ClassVar = [
            models.Index(fields=["target", "-id"], name="check_of_target"),
            models.Index(fields=["id"], condition=Q(finished_at__isnull=True), name="check_to_do"),
        ]

    def __str__(self) -> str:
        return f"check {self.pk}"
