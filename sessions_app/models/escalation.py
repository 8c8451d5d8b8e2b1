"""Escalations of items without a response: when the next people are notified."""

from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.db.models import Q


class Escalation(models.Model):
    """The time when the next people are notified of an item without a response.

    ``step`` is the number of the policy's steps that were already carried out. Exactly one of ``request``,
    ``run`` and ``grant`` (a due review) is set.
    """

    request = models.OneToOneField(
        "sessions_app.AccessRequest", null=True, on_delete=models.CASCADE, related_name="escalation"
    )
    run = models.OneToOneField(
        "sessions_app.CommandRun", null=True, on_delete=models.CASCADE, related_name="escalation"
    )
    grant = models.OneToOneField(
        "sessions_app.Grant", null=True, on_delete=models.CASCADE, related_name="escalation"
    )
    began_at = models.DateTimeField()
    step = models.PositiveIntegerField(default=0)
    due_at = models.DateTimeField(null=True)

    class Meta:
        default_permissions = ()
        indexes: ClassVar = [
            models.Index(fields=["due_at"], condition=Q(due_at__isnull=False), name="escalation_due")
        ]
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=Q(request__isnull=False, run__isnull=True, grant__isnull=True)
                | Q(request__isnull=True, run__isnull=False, grant__isnull=True)
                | Q(request__isnull=True, run__isnull=True, grant__isnull=False),
                name="escalation_of_one_thing",
            )
        ]

    def __str__(self) -> str:
        return f"escalation {self.pk}"
