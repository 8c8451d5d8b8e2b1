"""Requests, verdicts and dry runs."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from sessions_app.api.fields import Choice, Moment, Shape, shown_as
from sessions_app.api.schema import RuleShape
from sessions_app.api.shapes.catalog import EFFECTS, CommandShape, FreeParameterShape
from sessions_app.models import AccessRequest, Approval, RequestKind, RequestState, Verdict
from sessions_app.operations.catalog.publish_command_set import accepted_findings
from sessions_app.policy.decision import Outcome
from sessions_app.queries.requests.extents import left_duration


class VersionRefShape(Shape):
    """A command set and the number of its version."""

    name = serializers.CharField(source="command_set.name")
    version = serializers.IntegerField(source="number")
    digest = serializers.CharField()


class RequestShape(Shape):
    """A request for one command set on one cluster, with a time and a reason."""

    ref = serializers.CharField()
    kind = Choice(choices=RequestKind.values)
    state = Choice(choices=RequestState.values)
    requester = serializers.CharField(source="requester.username")
    cluster = serializers.CharField(source="cluster.name")
    command_set = VersionRefShape(source="command_set_version")
    policy = serializers.CharField(source="policy.name")
    policy_version = serializers.IntegerField()
    extends = serializers.CharField(source="extends.ref", allow_null=True, help_text="The grant to extend.")
    workflow = serializers.CharField(
        source="workflow.ref",
        allow_null=True,
        help_text="The workflow whose end also ends the grant.",
    )
    grant = serializers.SerializerMethodField(help_text="The resulting grant.")
    parameters = serializers.DictField(child=serializers.CharField())
    starts_at = Moment(allow_null=True, help_text="Null if access starts on approval.")
    duration = serializers.IntegerField(help_text="Seconds.")
    duration_left = serializers.SerializerMethodField(
        help_text="Duration in seconds, as reduced by the approvals so far."
    )
    reason = serializers.CharField()
    ticket = serializers.CharField()
    digest = serializers.CharField(help_text="Digest of the exact request; send it with a verdict.")
    created_at = Moment()
    lapses_at = Moment()
    decided_at = Moment(allow_null=True)

    @shown_as({"type": ["string", "null"]})
    def get_grant(self, request: AccessRequest) -> str | None:
        """Reference of the grant."""
        grant = getattr(request, "grant", None) if request.state == RequestState.APPROVED else None
        return grant.ref if grant else None

    def get_duration_left(self, request: AccessRequest) -> int:
        """Duration in seconds, as reduced by the approvers."""
        return left_duration(request)


class GivenNarrowingShape(Shape):
    """The parts of the scope that an approver reduced. Parts that were not reduced are missing."""

    duration = serializers.IntegerField(required=False)
    commands = serializers.ListField(child=serializers.IntegerField(), required=False)
    targets = serializers.ListField(child=serializers.CharField(), required=False)


class ApprovalShape(Shape):
    """One approver's verdict."""

    approver = serializers.CharField(source="approver.username")
    verdict = Choice(choices=Verdict.values)
    digest = serializers.CharField()
    comment = serializers.CharField()
    narrowing = serializers.SerializerMethodField()
    at = Moment(source="created_at")
    voided_at = Moment(allow_null=True)

    @shown_as(GivenNarrowingShape)
    def get_narrowing(self, approval: Approval) -> Any:
        """The parts of the scope that the approver reduced, with targets by name."""
        narrowing = dict(approval.narrowing)
        if "targets" in narrowing:
            names = self.context["target_names"]
            narrowing["targets"] = sorted(names[pk] for pk in narrowing["targets"] if pk in names)
        return narrowing


class ClauseShape(Shape):
    """Approvals that are required from different people in these groups."""

    count = serializers.IntegerField()
    groups = serializers.ListField(child=serializers.CharField())
    missing = serializers.IntegerField()
    approvers = serializers.ListField(
        child=serializers.CharField(), help_text="The people who can give the approvals."
    )


class YouShape(Shape):
    """The caller's options for the request."""

    may_decide = serializers.BooleanField()
    why_not = serializers.CharField(help_text="Empty if you can decide.")


class AcceptedShape(Shape):
    """An accepted linter warning, with the reason."""

    message = serializers.CharField()
    reason = serializers.CharField()


class RequestDetailShape(RequestShape):
    """A request with everything its approvers need."""

    targets = serializers.SerializerMethodField()
    commands = serializers.SerializerMethodField()
    accepted = serializers.SerializerMethodField()
    targets_left = serializers.SerializerMethodField(
        help_text="The `targets` that remain after the approvals so far."
    )
    commands_left = serializers.SerializerMethodField(
        help_text="The `index` of each command that remains after the approvals so far."
    )
    approvals = serializers.SerializerMethodField()
    needed = serializers.SerializerMethodField()
    changed = serializers.SerializerMethodField(
        help_text="The targets or commands changed, so the request can no longer be approved."
    )
    you = serializers.SerializerMethodField()

    def __init__(self, detail: Any = None, **options: Any) -> None:
        super().__init__(detail.request if detail is not None else None, **options)
        self.detail = detail

    def get_targets(self, request: AccessRequest) -> list[str]:
        """Names of the targets that still exist."""
        return list(self.detail.targets)

    @shown_as(CommandShape(many=True))
    def get_commands(self, request: AccessRequest) -> Any:
        """Commands with the parameter values of the request."""
        return CommandShape(self.detail.commands, many=True).data

    @shown_as(AcceptedShape(many=True))
    def get_accepted(self, request: AccessRequest) -> Any:
        """Warnings that were accepted when the command set was published."""
        return AcceptedShape(accepted_findings(request.command_set_version), many=True).data

    def get_targets_left(self, request: AccessRequest) -> list[str]:
        """Names of the targets that approvers left."""
        return list(self.detail.targets_left)

    def get_commands_left(self, request: AccessRequest) -> list[int]:
        """Indices of the commands that approvers left."""
        return list(self.detail.commands_left)

    @shown_as(ApprovalShape(many=True))
    def get_approvals(self, request: AccessRequest) -> Any:
        """All verdicts, oldest first."""
        context = {"target_names": self.detail.target_names}
        return ApprovalShape(self.detail.approvals, many=True, context=context).data

    @shown_as(ClauseShape(many=True))
    def get_needed(self, request: AccessRequest) -> Any:
        """Approvals that the policy requires."""
        return ClauseShape(self.detail.needed, many=True).data

    def get_changed(self, request: AccessRequest) -> bool:
        """Whether the scope has changed since the request."""
        return bool(self.detail.changed)

    @shown_as(YouShape)
    def get_you(self, request: AccessRequest) -> Any:
        """Whether the caller can decide the request, and the reason if not."""
        return {"may_decide": not self.detail.why_not, "why_not": self.detail.why_not}


class OfferShape(Shape):
    """A command set on a cluster that you can request, under the policy with the fewest approvals."""

    cluster = serializers.CharField()
    kind = serializers.CharField()
    targets = serializers.ListField(child=serializers.CharField())
    command_set = serializers.CharField()
    summary = serializers.CharField()
    policy = serializers.CharField()
    approvals = serializers.IntegerField(help_text="The number of approvals needed for planned access.")
    longest = serializers.IntegerField(help_text="Seconds.")
    reason_required = serializers.BooleanField()
    parameters = serializers.DictField(
        child=serializers.CharField(), help_text="Parameter values taken from the command."
    )
    missing = FreeParameterShape(many=True, help_text="Parameters you still have to set.")
    effect = Choice(choices=EFFECTS, allow_null=True, help_text="Effect of the command.")


class OffersShape(Shape):
    """The access you can request."""

    results = OfferShape(many=True)


class OverlapShape(Shape):
    """Another holder's grant on the same cluster at that time, which you can see."""

    ref = serializers.CharField()
    holder = serializers.CharField(source="holder.username")
    command_set = serializers.CharField(source="command_set_version.command_set.name")
    starts_at = Moment()
    expires_at = Moment()


class PreviewShape(Shape):
    """The outcome if the request were submitted now."""

    outcome = Choice(choices=[outcome.value for outcome in Outcome])
    policy = serializers.CharField(source="policy.name")
    policy_version = serializers.IntegerField(source="policy.version")
    cluster = serializers.CharField(source="cluster.name")
    command_set = VersionRefShape(source="version")
    rules = RuleShape(many=True)
    needed = ClauseShape(many=True)
    targets = serializers.ListField(child=serializers.CharField())
    commands = CommandShape(many=True)
    starts_at = Moment()
    ends_at = Moment()
    lapses_at = Moment(help_text="The time when the request expires if no one decides it.")
    digest = serializers.CharField()
    overlaps = OverlapShape(many=True)
    others = serializers.IntegerField(
        help_text="The number of further overlapping grants, which you can't see."
    )
    already = serializers.CharField(
        source="already.ref",
        allow_null=True,
        help_text="Your own grant that already gives the same access, if any.",
    )
