"""Keys with which Stint signs, encrypted at rest."""

from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now


class SigningKey(models.Model):
    """A certificate authority key. The active key signs.

    Every key that is not retired is trusted. For SSH, targets trust it. For the TLS of web gateways, clients
    trust it, and the public key is a certificate (PEM).
    """

    purpose = models.CharField(max_length=20, default="ssh-user-ca")
    public_key = models.TextField()
    fingerprint = models.CharField(max_length=64, unique=True)
    sealed_private_key = models.BinaryField()
    created_at = models.DateTimeField(db_default=Now())
    activated_at = models.DateTimeField(null=True, blank=True)
    retired_at = models.DateTimeField(null=True, blank=True)
    is_active = models.BooleanField(default=False)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["purpose"], condition=Q(is_active=True), name="signing_key_one_active"
            ),
            models.CheckConstraint(
                condition=Q(is_active=False) | Q(retired_at__isnull=True),
                name="signing_key_retired_never_signs",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.purpose} {self.fingerprint}"
