"""Ends of grants whose rows are locked by other transactions."""

from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.db.models.functions import Now

from accounts.models import Identity
from sessions_app.models.grant import EndReason, Grant


class EndIntent(models.Model):
    """An intended end of a grant whose row another transaction has locked.

    The end takes effect when it is committed (`GrantStateField`, `stint_usable_until`). The intent is deleted
    once the grant's row is updated. ``at`` is when the end was requested, and ``made_at`` when it took
    effect. If ``cut`` is false, running commands may finish.
    """

    # No foreign key constraint, because checking it would wait for the row lock.
    grant = models.ForeignKey(
        Grant, on_delete=models.PROTECT, related_name="end_intents", db_constraint=False
    )
    at = models.DateTimeField()
    made_at = models.DateTimeField(db_default=Now())
    by = models.ForeignKey(Identity, null=True, on_delete=models.PROTECT, related_name="+", db_index=False)
    reason = models.CharField(max_length=20, choices=EndReason.choices)
    note = models.TextField(blank=True)
    cut = models.BooleanField()

    class Meta:
        default_permissions = ()
        ordering: ClassVar = ["pk"]

    def __str__(self) -> str:
        return f"{self.grant_id}: {self.reason}"
