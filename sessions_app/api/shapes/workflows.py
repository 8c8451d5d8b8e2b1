"""Workflows that access is bound to."""

from __future__ import annotations

from rest_framework import serializers

from sessions_app.api.fields import Choice, Moment, Shape
from sessions_app.models import OWN, Severity, Workflow, WorkflowKind, WorkflowState


class WorkflowShape(Shape):
    """A workflow. Closing a workflow ends the access bound to it. A closed workflow can't be reopened."""

    ref = serializers.CharField()
    kind = Choice(choices=WorkflowKind.values)
    title = serializers.CharField()
    severity = Choice(choices=Severity.values, allow_null=True)
    state = Choice(choices=WorkflowState.values)
    clusters = serializers.SerializerMethodField(help_text="The workflow's clusters that you can see.")
    kept_by = serializers.SerializerMethodField(help_text="The workflow's source, or `stint`.")
    outside_id = serializers.CharField(help_text="The workflow's ID in the source.")
    url = serializers.CharField()
    facts = serializers.DictField(
        child=serializers.CharField(), help_text="Values that commands can be bound to, as `workflow.NAME`."
    )
    assignee = serializers.CharField(source="assignee.username", allow_null=True)
    starts_at = Moment(allow_null=True)
    ends_at = Moment(allow_null=True)
    read_at = Moment(allow_null=True, help_text="When the source last reported the workflow as open.")
    opened_at = Moment()
    opened_by = serializers.SerializerMethodField(
        help_text=("Who opened the workflow: a username, or names that the source reports. Empty if unknown.")
    )
    changed_by = serializers.SerializerMethodField(
        help_text=(
            "Who last changed the workflow's severity, urgency or assignees, as the source reports. "
            "Null if unknown."
        )
    )
    closed_at = Moment(allow_null=True)
    closed_by = serializers.CharField(source="closed_by.username", allow_null=True)
    close_note = serializers.CharField()

    def get_clusters(self, workflow: Workflow) -> list[str]:
        """Names of the clusters, sorted."""
        return sorted(cluster.name for cluster in workflow.clusters.all())

    def get_opened_by(self, workflow: Workflow) -> list[str]:
        """Names of the people who opened the workflow."""
        return [workflow.opened_by.username] if workflow.opened_by else list(workflow.named_openers)

    def get_changed_by(self, workflow: Workflow) -> list[str] | None:
        """Names of the people who last changed the workflow. Empty for Stint's own workflows."""
        return workflow.named_changers if workflow.source else []

    def get_kept_by(self, workflow: Workflow) -> str:
        """Name of the source."""
        return workflow.source.name if workflow.source else OWN
