"""Pieces of work that access is bound to."""

from __future__ import annotations

from rest_framework import serializers

from sessions_app.api.fields import Choice, Moment, Shape
from sessions_app.models import Severity, Workflow, WorkflowKind, WorkflowState


class WorkflowShape(Shape):
    """An incident. Access that is bound to it ends when it is closed, and what is closed stays closed."""

    ref = serializers.CharField()
    kind = Choice(choices=WorkflowKind.values)
    title = serializers.CharField()
    severity = Choice(choices=Severity.values, allow_null=True)
    state = Choice(choices=WorkflowState.values)
    clusters = serializers.SerializerMethodField(help_text="Those of its clusters that you may see.")
    opened_at = Moment()
    opened_by = serializers.CharField(source="opened_by.username", allow_null=True)
    closed_at = Moment(allow_null=True)
    closed_by = serializers.CharField(source="closed_by.username", allow_null=True)
    close_note = serializers.CharField()

    def get_clusters(self, workflow: Workflow) -> list[str]:
        """Return the names of the clusters, sorted."""
        return sorted(cluster.name for cluster in workflow.clusters.all())
