"""Clusters, command sets and policies."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from broker.kernel import clock
from sessions_app.api.fields import Choice, Moment, Shape, shown_as
from sessions_app.models import (
    Cluster,
    CommandSet,
    CommandSetVersion,
    Environment,
    Proposal,
    ProposalState,
    Risk,
)
from sessions_app.operations.catalog.document_state import standing_of
from sessions_app.policy.commands.kinds import compile_open, describe
from sessions_app.queries.catalog.command_sets import document_of

EFFECTS = ("read", "change", "destructive")


class TargetShape(Shape):
    """One host or endpoint."""

    name = serializers.CharField()
    address = serializers.CharField()
    port = serializers.IntegerField()
    account = serializers.CharField()
    host_key = serializers.CharField()


class ClusterShape(Shape):
    """A named system with its targets."""

    name = serializers.CharField()
    kind = serializers.CharField()
    summary = serializers.CharField()
    environment = Choice(choices=Environment.values)
    risk = Choice(choices=Risk.values)
    host_ca = serializers.CharField()
    targets = serializers.SerializerMethodField()

    @shown_as(TargetShape(many=True))
    def get_targets(self, cluster: Cluster) -> Any:
        """Targets that were not removed, sorted by name."""
        live = [target for target in cluster.targets.all() if target.removed_at is None]
        return TargetShape(sorted(live, key=lambda target: target.name), many=True).data


class FreeParameterShape(Shape):
    """A parameter whose value is chosen at each run."""

    name = serializers.CharField()
    kind = serializers.CharField()
    limits = serializers.CharField()
    choices = serializers.ListField(child=serializers.CharField())


class CommandShape(Shape):
    """One allowed command."""

    index = serializers.IntegerField()
    text = serializers.CharField()
    free = FreeParameterShape(many=True)
    effect = Choice(choices=EFFECTS)
    as_root = serializers.BooleanField(
        help_text="The command runs as root, even if Stint logs in with another account."
    )
    hold = serializers.BooleanField(help_text="Each run needs the approval of a second person.")
    finish_seconds = serializers.IntegerField(
        allow_null=True,
        help_text="How long a run may continue after the grant ends; null if the run is cut then.",
    )


class FindingShape(Shape):
    """A linter finding."""

    severity = Choice(choices=["error", "warning"])
    code = serializers.CharField()
    where = serializers.CharField()
    message = serializers.CharField()
    fix = serializers.CharField()


class CommandSetShape(Shape):
    """A command set and its newest published version."""

    name = serializers.CharField()
    kind = serializers.CharField()
    summary = serializers.SerializerMethodField()
    risk = serializers.SerializerMethodField()
    published = serializers.SerializerMethodField(help_text="The latest published version.")
    versions = serializers.SerializerMethodField(help_text="The versions you can see.")

    def get_summary(self, command_set: CommandSet) -> str:
        """Purpose of the command set; empty if no version is published."""
        return str(command_set.published.document["summary"]) if command_set.published else ""

    @shown_as({"type": ["string", "null"], "enum": [*Risk.values, None]})
    def get_risk(self, command_set: CommandSet) -> str | None:
        """The risk that the command set states."""
        return command_set.published.document["risk"] if command_set.published else None

    @shown_as({"type": ["integer", "null"]})
    def get_published(self, command_set: CommandSet) -> int | None:
        """Number of the newest published version."""
        return command_set.published.number if command_set.published else None

    @shown_as({"type": "array", "items": {"type": "integer"}})
    def get_versions(self, command_set: CommandSet) -> list[int]:
        """Version numbers. Only administrators see drafts."""
        everything = self.context["identity"].is_superuser
        return sorted(v.number for v in command_set.versions.all() if everything or v.published_at)


class VersionShape(Shape):
    """One version of a command set. Once published, it never changes."""

    command_set = serializers.CharField(source="command_set.name")
    number = serializers.IntegerField()
    digest = serializers.CharField()
    source = serializers.CharField(help_text="The YAML source.")  # type: ignore[assignment]  # shadows DRF's attribute
    commands = serializers.SerializerMethodField()
    findings = FindingShape(many=True)
    accepted = serializers.DictField(child=serializers.CharField())
    created_at = Moment()
    created_by = serializers.CharField(source="created_by.username", allow_null=True)
    published_at = Moment(allow_null=True)
    published_by = serializers.CharField(source="published_by.username", allow_null=True)

    @shown_as(CommandShape(many=True))
    def get_commands(self, version: CommandSetVersion) -> Any:
        """Commands, with open parameters."""
        return CommandShape(describe(compile_open(document_of(version))), many=True).data


class PolicyShape(Shape):
    """An access policy. `document` has the form that /schemas/policies.json describes."""

    name = serializers.CharField()
    version = serializers.IntegerField()
    summary = serializers.CharField()
    digest = serializers.CharField()
    document = serializers.DictField()
    changed_at = Moment()


class ProposalShape(Shape):
    """A proposed version of a document that may allow more than the stored version, so another administrator
    must publish it.
    """

    id = serializers.IntegerField()
    kind = Choice(choices=["policies", "clusters", "command-sets"])
    name = serializers.CharField(help_text="The name of the document.")
    state = serializers.SerializerMethodField()
    wider = serializers.ListField(child=serializers.CharField(), help_text="The keys that may allow more.")
    diff = serializers.ListField(
        child=serializers.CharField(), help_text="The lines that differ, as a unified diff."
    )
    source = serializers.CharField(help_text="The YAML source.")  # type: ignore[assignment]  # shadows DRF's attribute
    proposed_by = serializers.CharField(source="proposed_by.username")
    proposed_at = Moment()
    lapses_at = Moment()
    decided_by = serializers.CharField(source="decided_by.username", allow_null=True)
    decided_at = Moment(allow_null=True)
    comment = serializers.CharField()

    @shown_as({"type": "string", "enum": ProposalState.values})
    def get_state(self, proposal: Proposal) -> str:
        """State of the proposal. A proposal also expires when its document changes."""
        return standing_of(proposal, clock.now())


class TriedShape(Shape):
    """The gateway's decision on a command line."""

    verdict = Choice(choices=["allowed", "held", "refused"])
    version = serializers.IntegerField()
    index = serializers.IntegerField(allow_null=True, help_text="The matching command of the set.")
    argv = serializers.ListField(child=serializers.CharField())
    effect = Choice(choices=EFFECTS, allow_null=True)
    finish_seconds = serializers.IntegerField(allow_null=True)
    matched = serializers.DictField(
        child=serializers.CharField(), help_text="The values of the free parameters."
    )
    notes = serializers.ListField(
        child=serializers.CharField(),
        help_text="The conditions that depend on earlier calls, and can't be tested here.",
    )
    reason = serializers.CharField(help_text="Why the command line is refused; empty if it is allowed.")
    nearest = serializers.CharField(allow_null=True, help_text="The closest allowed command.")
    code = serializers.CharField(allow_null=True)


class ChangeShape(Shape):
    """One object that is created, changed or removed."""

    action = Choice(choices=["create", "change", "remove"])
    type = serializers.CharField()
    name = serializers.CharField()
    diff = serializers.ListField(child=serializers.CharField())
    ends = serializers.ListField(
        child=serializers.CharField(), help_text="Grants that end because of this change."
    )


class PlanShape(Shape):
    """The changes from applying the files, in order."""

    changes = ChangeShape(many=True)
    unused = serializers.ListField(
        child=serializers.CharField(), help_text="Objects that are in no file and are kept."
    )
    warnings = serializers.ListField(
        child=serializers.CharField(),
        help_text="Likely mistakes, such as approvals that no one can give.",
    )
