"""Commands that holders start on a grant's page and gateways run. The rows are the queue."""

from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from accounts.models import Identity
from sessions_app.models.catalog import Target
from sessions_app.models.grant import Grant
from sessions_app.models.session import CommandRun, GatewayNode


class CommandOrder(models.Model):
    """One command line that a holder wants a gateway to run on one target, ordered on the page of the grant.

    A gateway for the target's kind claims the order, and runs the line as if it came from a terminal. An
    order that is not claimed by ``lapses_at`` expires. ``line`` is its recorded form. If that hides secret
    values, ``sealed_line`` is the line to run, until the order is claimed or expires.
    """

    grant = models.ForeignKey(Grant, on_delete=models.PROTECT, related_name="orders")
    target = models.ForeignKey(Target, on_delete=models.PROTECT, related_name="+")
    line = models.TextField()
    sealed_line = models.BinaryField(null=True)
    asked_by = models.ForeignKey(Identity, on_delete=models.PROTECT, related_name="+")
    client_address = models.CharField(max_length=64, blank=True)
    created_at = models.DateTimeField(db_default=Now())
    lapses_at = models.DateTimeField()
    claimed_at = models.DateTimeField(null=True, blank=True)
    claimed_by = models.ForeignKey(GatewayNode, null=True, on_delete=models.PROTECT, related_name="+")
    run = models.OneToOneField(CommandRun, null=True, on_delete=models.PROTECT, related_name="order")
    error = models.TextField(blank=True)

    class Meta:
        default_permissions = ()
        indexes: ClassVar = [
            models.Index(fields=["id"], condition=Q(claimed_at__isnull=True), name="order_to_claim"),
            models.Index(fields=["grant", "-id"], name="order_of_grant"),
        ]

    def __str__(self) -> str:
        return self.line
