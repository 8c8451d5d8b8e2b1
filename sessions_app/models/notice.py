"""What people are told, in the page and by mail."""

from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from accounts.models import Identity


class Notice(models.Model):
    """One thing that one person is told. The row is the queue for its mail."""

    identity = models.ForeignKey(Identity, on_delete=models.CASCADE, related_name="notices")
    event = models.CharField(max_length=40)
    subject = models.CharField(max_length=200)
    body = models.TextField(blank=True)
    path = models.CharField(max_length=200)
    created_at = models.DateTimeField(db_default=Now())
    read_at = models.DateTimeField(null=True, blank=True)
    mailed_at = models.DateTimeField(null=True, blank=True)
    attempts = models.PositiveIntegerField(default=0)
    next_attempt_at = models.DateTimeField(db_default=Now(), null=True, blank=True)

    class Meta:
        indexes: ClassVar = [
            models.Index(
                fields=["next_attempt_at"],
                condition=Q(mailed_at__isnull=True, next_attempt_at__isnull=False),
                name="notice_to_mail",
            ),
            models.Index(fields=["identity", "-id"], name="notice_of_identity"),
            models.Index(fields=["identity", "-id"], condition=Q(read_at__isnull=True), name="notice_unread"),
        ]

    def __str__(self) -> str:
        return self.subject
