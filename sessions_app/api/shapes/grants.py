"""Grants, their sessions, command runs, credentials and receipts."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from rest_framework import serializers

from broker.kernel import clock
from sessions_app.api.fields import Choice, Moment, Shape, shown_as
from sessions_app.api.shapes.catalog import EFFECTS, CommandShape
from sessions_app.api.shapes.requests import VersionRefShape
from sessions_app.connectors.registry import find
from sessions_app.models import EndReason, Grant, GrantState, Observed, RunState
from sessions_app.policy.commands.kinds import describe
from sessions_app.queries.catalog.command_sets import compiled
from sessions_app.queries.gateways.addresses import mcp_address
from sessions_app.queries.grants.budgets import plain_budgets
from sessions_app.queries.grants.observing import observed_under


class GrantShape(Shape):
    """A grant: time-limited access that follows an approval."""

    ref = serializers.CharField()
    state = Choice(choices=GrantState.values)
    holder = serializers.CharField(source="holder.username")
    cluster = serializers.CharField(source="cluster.name")
    command_set = VersionRefShape(source="command_set_version")
    policy = serializers.CharField(source="policy.name")
    request = serializers.CharField(source="request.ref")
    workflow = serializers.CharField(
        source="workflow.ref", allow_null=True, help_text="The workflow whose end also ends the grant."
    )
    parent = serializers.CharField(  # type: ignore[assignment]  # shadows DRF's attribute
        source="parent.ref", allow_null=True, help_text="The parent grant whose end also ends the grant."
    )
    heartbeat_seconds = serializers.IntegerField(
        allow_null=True,
        help_text="How often the holder must call `heartbeat`; null if heartbeats are not required.",
    )
    heartbeat_due_at = Moment(allow_null=True, help_text="When the next heartbeat is due.")
    parameters = serializers.DictField(child=serializers.CharField())
    targets = serializers.SerializerMethodField()
    observed = serializers.SerializerMethodField()
    break_glass = serializers.BooleanField()
    own_incident = serializers.BooleanField(
        source="is_own_incident",
        help_text="Whether the access needed no approval, although the holder opened or changed the "
        "incident, or possibly did.",
    )
    starts_at = Moment()
    expires_at = Moment()
    activated_at = Moment(allow_null=True)
    held_at = Moment(allow_null=True, help_text="When the grant was suspended; null if it isn't suspended.")
    held_by = serializers.CharField(
        source="held_by.username",
        allow_null=True,
        help_text="Who suspended the grant; null if it was suspended automatically after too many "
        "refused commands.",
    )
    held_note = serializers.CharField(help_text="The reason that this person gave.")
    revoking_at = Moment(allow_null=True)
    ended_at = Moment(allow_null=True, help_text="When the end was confirmed on all targets.")
    end_reason = Choice(choices=EndReason.values, allow_null=True)
    end_note = serializers.CharField()
    ended_by = serializers.CharField(source="ender.username", allow_null=True)
    last_error = serializers.CharField(help_text="Why the end is not confirmed yet, or why the start failed.")
    review_due_at = Moment(allow_null=True)
    reviewed_at = Moment(allow_null=True)
    reviewed_by = serializers.CharField(source="reviewed_by.username", allow_null=True)
    review_note = serializers.CharField()

    @shown_as(Choice(choices=Observed.values))
    def get_observed(self, grant: Grant) -> str:
        """How much activity Stint observes: `all` through a gateway, `some` as the target reports, or
        `nothing`.
        """
        return observed_under(grant).value

    def get_targets(self, grant: Grant) -> list[str]:
        """Names of the targets, sorted."""
        return sorted(target.name for target in grant.targets.all())


class BudgetShape(Shape):
    """One budget, and how much of it is used. Amounts are decimal numbers as text."""

    command = serializers.CharField(help_text="The command; empty for all commands together.")
    measure = Choice(choices=["calls", "sum", "bytes", "rows"])
    name = serializers.CharField(
        help_text="The argument or parameter that is added up; empty for other measures."
    )
    used = serializers.CharField()
    most = serializers.CharField()
    per = Choice(
        choices=["grant", "hour"],
        help_text="Whether usage is counted over the whole grant or over the last 60 minutes.",
    )
    then = Choice(
        choices=["hold", "refuse", "end"], help_text="What happens to a run that exceeds the budget."
    )
    says = serializers.CharField()


class GrantDetailShape(GrantShape):
    """A grant, with what it allows and how to use it."""

    commands = serializers.SerializerMethodField()
    finish_seconds = serializers.IntegerField(
        help_text="The maximum time that a run may continue after the grant's end."
    )
    connect = serializers.SerializerMethodField(
        help_text="The commands or settings for connecting to each target."
    )
    budgets = serializers.SerializerMethodField()

    @shown_as(CommandShape(many=True))
    def get_commands(self, grant: Grant) -> Any:
        """The commands that the approvers kept."""
        views = describe(compiled(grant.command_set_version, grant.parameters, grant.commands))
        return CommandShape(views, many=True).data

    @shown_as(BudgetShape(many=True))
    def get_budgets(self, grant: Grant) -> Any:
        """Limits on all runs together, and how much of them is used."""
        return BudgetShape(plain_budgets(grant, clock.now()), many=True).data

    def get_connect(self, grant: Grant) -> list[str]:
        """One ssh command for each target, or the URL of an MCP server; empty if the credential contains the
        instructions.
        """
        if address := mcp_address(grant.cluster):
            return [address]
        kind = find(grant.cluster.kind)
        if kind is None or not kind.runs:
            return []
        gateway = f"{settings.SSH_PUBLIC_HOST}"
        return [
            f"ssh -p {settings.SSH_GATEWAY_PORT} {grant.ref}.{name}@{gateway}"
            for name in self.get_targets(grant)
        ]


class HeartbeatShape(Shape):
    """The result of a heartbeat."""

    ref = serializers.CharField()
    heartbeat_due_at = Moment(help_text="When the next heartbeat is due. If it is missed, the grant ends.")


class RunShape(Shape):
    """One attempted command."""

    id = serializers.IntegerField()
    grant = serializers.CharField(source="grant.ref")
    holder = serializers.CharField(source="grant.holder.username")
    target = serializers.CharField(source="target.name")
    client_address = serializers.CharField(help_text="The client's address; empty if unknown.")
    line = serializers.CharField(help_text="The command as it was typed.")
    argv = serializers.ListField(child=serializers.CharField())
    effect = Choice(choices=EFFECTS, allow_null=True)
    state = Choice(choices=RunState.values)
    reason = serializers.CharField()
    notes = serializers.CharField(
        help_text="Remarks about the decision, one per line, such as where a value came from."
    )
    untrusted = serializers.BooleanField(help_text="The result can contain text from outsiders.")
    over_budget = serializers.BooleanField(
        help_text="Whether the command was held because a budget is used up."
    )
    tried_at = Moment()
    started_at = Moment(allow_null=True)
    deadline = Moment(allow_null=True)
    ended_at = Moment(allow_null=True)
    exit_status = serializers.IntegerField(allow_null=True)
    signal = serializers.CharField()
    hold_lapses_at = Moment(allow_null=True)
    touched = serializers.IntegerField(
        source="held_commit.touched",
        allow_null=True,
        help_text="The number of rows changed by the transaction that is, or was, held at its COMMIT.",
    )
    decided_by = serializers.CharField(source="decided_by.username", allow_null=True)
    decided_at = Moment(allow_null=True)
    allowed_for_grant = serializers.BooleanField(
        help_text="Whether the approval also covers identical calls for the rest of the grant."
    )
    allowed_times = serializers.IntegerField(
        help_text="How often the approval allows the same command; 0 for a single run."
    )
    uses_left = serializers.IntegerField(help_text="How many of these runs are left.")
    output_bytes = serializers.IntegerField(help_text="The size of the command's output or result.")
    rows = serializers.IntegerField(
        allow_null=True, help_text="Rows that a statement returned or changed; null for other commands."
    )
    recording_sha256 = serializers.CharField(source="recording_digest")
    recording_purged_at = serializers.DateTimeField(allow_null=True)


class HeldCellShape(Shape):
    """The value of one column in one row."""

    column = serializers.CharField()
    before = serializers.CharField(allow_null=True)
    after = serializers.CharField(allow_null=True)
    state = Choice(choices=["same", "changed", "added", "removed"])


class HeldStatementShape(Shape):
    """One statement of a transaction that is held at its COMMIT."""

    line = serializers.CharField()
    touched = serializers.IntegerField(help_text="The number of rows that the statement changed.")
    rows = serializers.ListField(
        child=HeldCellShape(many=True),
        help_text="At most 20 of the changed rows, by column. `null` is SQL NULL.",
    )
    notes = serializers.ListField(
        child=serializers.CharField(), help_text="Effects that the rows don't show, as sentences."
    )
    plan = serializers.CharField(help_text="The server's plan, if the command set shows it.")


class HeldCommitShape(Shape):
    """A transaction that is, or was, held at its COMMIT."""

    run = serializers.IntegerField()
    statements = HeldStatementShape(many=True)


class HeldFileShape(Shape):
    """An upload that waits for approval."""

    run = serializers.IntegerField()
    path = serializers.CharField(help_text="The file on the target.")
    size = serializers.IntegerField(help_text="In bytes.")
    sha256 = serializers.CharField()
    text = serializers.CharField(
        allow_null=True, help_text="Null if it is not text, or has more than 64 KB or invisible characters."
    )


class OutputShape(Shape):
    """A part of a run's output."""

    text = serializers.CharField()
    next = serializers.CharField(allow_null=True, help_text="URL of the next part; null on the last part.")


class SessionShape(Shape):
    """One live use of a grant."""

    id = serializers.IntegerField()
    target = serializers.CharField(source="target.name")
    gateway = serializers.CharField(source="gateway.name")
    client_address = serializers.CharField()
    key = serializers.CharField(source="proof", help_text="Fingerprint of the key used to authenticate.")
    opened_at = Moment()
    closed_at = Moment(allow_null=True)
    close_reason = serializers.CharField()


class CredentialShape(Shape):
    """The credential for using a grant on a target, which is shown once."""

    values = serializers.DictField(
        child=serializers.CharField(),
        source="fields",
        help_text="Label and value.",
    )
    command = serializers.CharField(help_text="A command to run in a terminal; may be empty.")
    expires_at = Moment()
