"""The receipt of a grant, as the API returns it."""

from __future__ import annotations

from rest_framework import serializers

from sessions_app.api.fields import Choice, Moment, Shape
from sessions_app.api.shapes.grants import BudgetShape
from sessions_app.models import EndReason, GrantState, Observed, RunState, Verdict


class ReceiptVerdictShape(Shape):
    """A verdict in a receipt."""

    approver = serializers.CharField()
    verdict = Choice(choices=Verdict.values)
    comment = serializers.CharField()
    narrowing = serializers.DictField()
    at = Moment()


class ReceiptApprovedShape(Shape):
    """The approved access, and the approvals."""

    command_set = serializers.CharField()
    commands = serializers.ListField(child=serializers.CharField())
    parameters = serializers.DictField(child=serializers.CharField())
    targets = serializers.ListField(child=serializers.CharField())
    starts_at = Moment()
    expires_at = Moment()
    digest = serializers.CharField()
    reason = serializers.CharField()
    ticket = serializers.CharField()
    workflow = serializers.CharField(allow_null=True)
    break_glass = serializers.BooleanField()
    own_incident = serializers.BooleanField()
    by = ReceiptVerdictShape(many=True)


class ComparedCommandShape(Shape):
    """The use of one approved command."""

    command = serializers.CharField()
    times = serializers.IntegerField(
        allow_null=True, help_text="Null if the target does not report which command was used."
    )
    failed = serializers.IntegerField(
        allow_null=True,
        help_text="The number of these runs that ended with a nonzero exit status, a signal or an error.",
    )


class ComparedTargetShape(Shape):
    """The use of one approved target."""

    target = serializers.CharField()
    times = serializers.IntegerField(allow_null=True, help_text="Null if runs are not observed.")


class ComparedRefusedShape(Shape):
    """One refused attempt, with its count."""

    command = serializers.CharField()
    times = serializers.IntegerField()
    last_at = Moment()
    why = serializers.CharField()


class ComparisonShape(Shape):
    """The observed activity, compared with the approved access."""

    observed = Choice(
        choices=Observed.values, help_text="Whether Stint observed all, some or none of the activity."
    )
    sentence = serializers.CharField(help_text="A summary in one sentence.")
    commands = ComparedCommandShape(many=True)
    targets = ComparedTargetShape(many=True)
    approved_seconds = serializers.IntegerField()
    used_seconds = serializers.IntegerField(
        help_text="The part of the granted time that was used, in seconds."
    )
    refused = ComparedRefusedShape(many=True, help_text="The 20 most frequent refused commands.")
    refused_times = serializers.IntegerField(
        allow_null=True, help_text="Null if the target does not report refusals."
    )


class ReceiptRunShape(Shape):
    """A command that was run."""

    run = serializers.IntegerField()
    command = serializers.CharField()
    target = serializers.CharField()
    client_address = serializers.CharField()
    state = Choice(choices=RunState.values)
    effect = serializers.CharField()
    at = Moment()
    ended_at = Moment(allow_null=True)
    exit_status = serializers.IntegerField(allow_null=True)
    rows = serializers.IntegerField(allow_null=True)
    output_bytes = serializers.IntegerField()
    signal = serializers.CharField()
    why = serializers.CharField()
    recording_sha256 = serializers.CharField()


class ReceiptRefusedShape(Shape):
    """A command that was refused, or withdrawn before it ran."""

    run = serializers.IntegerField()
    command = serializers.CharField()
    target = serializers.CharField()
    client_address = serializers.CharField()
    at = Moment()
    state = Choice(choices=RunState.values)
    why = serializers.CharField()


class ReceiptSessionShape(Shape):
    """A session in a receipt."""

    session = serializers.IntegerField()
    target = serializers.CharField()
    key = serializers.CharField()
    opened_at = Moment()
    closed_reason = serializers.CharField()
    closed_at = Moment(allow_null=True)


class ReceiptSuspensionShape(Shape):
    """One suspension in a receipt."""

    at = Moment()
    by = serializers.CharField(
        allow_null=True,
        help_text="Null if the grant was suspended automatically after too many refused commands.",
    )
    why = serializers.CharField()
    resumed_at = Moment(allow_null=True)
    resumed_by = serializers.CharField(allow_null=True)


class ReceiptEndShape(Shape):
    """The end of the grant, and its confirmation."""

    reason = Choice(choices=EndReason.values)
    why = serializers.CharField()
    note = serializers.CharField()
    by = serializers.CharField(allow_null=True)
    began_at = Moment()
    proven_at = Moment(allow_null=True)
    seconds = serializers.FloatField(
        help_text="The time from the start of the end to its confirmation, or until now."
    )
    early_seconds = serializers.IntegerField(
        help_text="The part of the granted time that was left, in seconds."
    )
    last_error = serializers.CharField()
    attempts = serializers.IntegerField()


class ReceiptCheckShape(Shape):
    """The objects created on one target, and the evidence of their removal."""

    target = serializers.CharField()
    made = serializers.DictField(
        help_text="The objects that the connector created for the grant; may be empty."
    )
    made_at = Moment()
    gone = serializers.BooleanField()
    gone_at = Moment(allow_null=True)
    evidence = serializers.DictField()
    attempts = serializers.IntegerField()
    last_error = serializers.CharField()


class ReceiptShape(Shape):
    """The receipt: the approvals, the commands that were run and refused, the end, and its verification."""

    grant = serializers.CharField()
    request = serializers.CharField()
    holder = serializers.CharField()
    cluster = serializers.CharField()
    state = Choice(choices=GrantState.values)
    approved = ReceiptApprovedShape()
    compared = ComparisonShape()
    budgets = BudgetShape(many=True)
    suspended = ReceiptSuspensionShape(many=True)
    run = ReceiptRunShape(many=True)
    refused = ReceiptRefusedShape(many=True)
    sessions = ReceiptSessionShape(many=True)
    ended = ReceiptEndShape(allow_null=True)
    checked = ReceiptCheckShape(many=True)
