"""Counts of the requests, grants and refused commands of days whose figures can no longer change."""

from __future__ import annotations

from typing import ClassVar

from django.db import models

from sessions_app.models.catalog import Cluster
from sessions_app.models.policy import AccessPolicy


class Settled(models.TextChoices):
    """The settled rows of a day: grants that ended, requests that were decided, or refused commands."""

    GRANTS = "grants"
    REQUESTS = "requests"
    REFUSALS = "refusals"


class SettledDay(models.Model):
    """A day (UTC) whose grants, requests or refusals are counted, because they can no longer change."""

    day = models.DateField()
    kind = models.CharField(max_length=8, choices=Settled.choices)

    class Meta:
        default_permissions = ()
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["day", "kind"], name="settled_day_once_per_kind")
        ]

    def __str__(self) -> str:
        return f"{self.day} {self.kind}"


class SettledCount(models.Model):
    """The counts of a quarter of an hour of a settled day on one cluster under one policy.

    The offset of every time zone is a multiple of this, so the days of each reader consist of whole slots.

    Requests and grants count in the slot in which they were created, refused commands in the slot in which
    they were tried. ``to_review`` counts grants that need a review, or had one; ``ended`` counts grants
    that started and ended, and ``unused`` those of them without a session.
    """

    slot = models.DateTimeField()
    cluster = models.ForeignKey(Cluster, on_delete=models.PROTECT, related_name="+", db_index=False)
    policy = models.ForeignKey(AccessPolicy, on_delete=models.PROTECT, related_name="+", db_index=False)
    grants = models.PositiveIntegerField(default=0, db_default=0)
    break_glass = models.PositiveIntegerField(default=0, db_default=0)
    to_review = models.PositiveIntegerField(default=0, db_default=0)
    ended = models.PositiveIntegerField(default=0, db_default=0)
    unused = models.PositiveIntegerField(default=0, db_default=0)
    requests = models.PositiveIntegerField(default=0, db_default=0)
    expired = models.PositiveIntegerField(default=0, db_default=0)
    refused = models.PositiveIntegerField(default=0, db_default=0)

    class Meta:
        default_permissions = ()
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["slot", "cluster", "policy"], name="settled_count_once_per_slot")
        ]

    def __str__(self) -> str:
        return f"{self.slot} {self.cluster_id} {self.policy_id}"
