"""The times that confirmations of grant ends took, by day."""

from __future__ import annotations

from typing import ClassVar

from django.db import models


class EndCause(models.TextChoices):
    """What ended a grant: its deadline, or anything else, such as a revocation."""

    DEADLINE = "deadline", "Deadlines"
    REVOKE = "revoke", "Revocations"


class EndsOfDay(models.Model):
    """The ends that were confirmed on one day (UTC), counted from the grants.

    ``buckets`` has the numbers of ends by the time that each took, as
    `sessions_app.queries.status.end_latency` reads them. ``late`` is the number that took longer than
    promised, and ``longest`` is the longest time in seconds.
    """

    day = models.DateField()
    cause = models.CharField(max_length=8, choices=EndCause.choices)
    total = models.PositiveBigIntegerField()
    late = models.PositiveBigIntegerField()
    longest = models.FloatField()
    buckets = models.JSONField(default=dict)

    class Meta:
        default_permissions = ()
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["day", "cause"], name="ends_of_day_once_per_cause")
        ]

    def __str__(self) -> str:
        return f"{self.day} {self.cause}: {self.total}"
