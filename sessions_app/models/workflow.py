"""The piece of work that justifies access."""

from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from accounts.models import Identity
from sessions_app.models.catalogue import Cluster


class WorkflowKind(models.TextChoices):
    """What sort of work it is."""

    INCIDENT = "incident", "Incident"


class WorkflowState(models.TextChoices):
    """Open or closed. What is closed stays closed (the database refuses anything else)."""

    OPEN = "open"
    CLOSED = "closed"


class Severity(models.TextChoices):
    """How bad an incident is, the worst first."""

    P1 = "P1"
    P2 = "P2"
    P3 = "P3"
    P4 = "P4"


class WorkflowQuerySet(models.QuerySet["Workflow"]):
    """Filters on workflows."""

    def open(self) -> WorkflowQuerySet:
        """Those that justify access now."""
        return self.filter(state=WorkflowState.OPEN)

    def visible_to(self, identity: Identity) -> WorkflowQuerySet:
        """Those on a cluster that the identity may see."""
        if identity.is_superuser:
            return self
        clusters = Cluster.objects.visible_to(identity).values("pk")
        through = self.model.clusters.through.objects.filter(cluster_id__in=clusters)
        return self.filter(pk__in=through.values("workflow_id"))


class Workflow(models.Model):
    """One piece of work, kept by ``provider`` under ``ref``; access that is bound to it ends when it is closed."""

    provider = models.CharField(max_length=20, default="stint")
    kind = models.CharField(max_length=10, choices=WorkflowKind.choices)
    ref = models.CharField(max_length=100)
    title = models.CharField(max_length=200)
    severity = models.CharField(max_length=2, choices=Severity.choices, blank=True)
    clusters = models.ManyToManyField(Cluster, related_name="workflows")
    state = models.CharField(max_length=6, choices=WorkflowState.choices, default=WorkflowState.OPEN)
    opened_at = models.DateTimeField(db_default=Now())
    opened_by = models.ForeignKey(Identity, null=True, on_delete=models.PROTECT, related_name="+")
    closed_at = models.DateTimeField(null=True, blank=True)
    closed_by = models.ForeignKey(Identity, null=True, on_delete=models.PROTECT, related_name="+")
    close_note = models.TextField(blank=True)

    objects = WorkflowQuerySet.as_manager()

    class Meta:
        default_permissions = ()
        indexes: ClassVar = [
            models.Index(fields=["kind"], condition=Q(state="open"), name="workflow_open"),
            models.Index(fields=["-opened_at"], name="workflow_newest"),
        ]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["provider", "ref"], name="workflow_once_per_provider"),
            models.CheckConstraint(
                condition=Q(state="open", closed_at__isnull=True)
                | Q(state="closed", closed_at__isnull=False),
                name="workflow_closed_at_a_time",
            ),
        ]

    def __str__(self) -> str:
        return self.ref
