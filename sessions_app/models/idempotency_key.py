"""Stored responses for repeated API requests."""

from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.db.models.functions import Now

from accounts.models import Identity


class IdempotencyKey(models.Model):
    """The stored response to a POST with an ``Idempotency-Key``."""

    identity = models.ForeignKey(Identity, on_delete=models.CASCADE, related_name="+")
    key = models.CharField(max_length=200)
    fingerprint = models.CharField(max_length=64)
    status = models.PositiveIntegerField(null=True)
    body = models.JSONField(null=True)
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        default_permissions = ()
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["identity", "key"], name="idempotency_key_once")
        ]

    def __str__(self) -> str:
        return self.key
