"""Live uses of grants, the commands attempted in them, and the processes that enforce access."""

from __future__ import annotations

import datetime as dt
from typing import ClassVar

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from accounts.models import Identity
from sessions_app.models.catalog import Target
from sessions_app.models.grant import Grant, Lease
from sessions_app.models.grant_state import GrantState


class GatewayNode(models.Model):
    """One gateway process. After 10 s without renewing its lease, it cuts all its sessions and counts as
    gone.
    """

    name = models.CharField(max_length=100, unique=True)
    version = models.CharField(max_length=20, blank=True)
    # The host key in known_hosts format; empty for gateways other than SSH.
    host_key = models.TextField(blank=True, default="")
    # SHA-256 of the certificate that clients of the gateway's web endpoints trust; empty if it has none.
    tls_fingerprint = models.CharField(max_length=95, blank=True, default="")
    started_at = models.DateTimeField(db_default=Now())
    seen_at = models.DateTimeField(db_default=Now())
    stopped_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return self.name


class Sweeper(models.Model):
    """A process that ends due grants. No grant can start if none has run for 30 s."""

    name = models.CharField(max_length=100, unique=True)
    seen_at = models.DateTimeField(db_default=Now())

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return self.name


class SessionQuerySet(models.QuerySet["Session"]):
    """Filters on sessions."""

    def visible_to(self, identity: Identity) -> SessionQuerySet:
        """Return sessions of grants that the identity may see."""
        return self.filter(grant__in=Grant.objects.visible_to(identity).values("pk"))


class Session(models.Model):
    """One live use of a grant at a gateway, such as an SSH connection.

    ``credential`` is set over HTTP: all requests to this target with that token belong to this session.
    """

    grant = models.ForeignKey(Grant, on_delete=models.PROTECT, related_name="sessions")
    target = models.ForeignKey(Target, on_delete=models.PROTECT, related_name="+")
    credential = models.ForeignKey(
        "GrantCredential", null=True, on_delete=models.PROTECT, related_name="sessions", db_index=False
    )
    gateway = models.ForeignKey(GatewayNode, on_delete=models.PROTECT, related_name="sessions")
    client_address = models.CharField(max_length=64, blank=True)
    proof = models.CharField(max_length=100, blank=True)
    opened_at = models.DateTimeField(db_default=Now())
    closed_at = models.DateTimeField(null=True, blank=True)
    close_reason = models.CharField(max_length=40, blank=True)

    objects = SessionQuerySet.as_manager()

    class Meta:
        default_permissions = ()
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["credential", "target"],
                condition=Q(credential__isnull=False),
                name="session_once_per_token_and_target",
            )
        ]
        indexes: ClassVar = [
            models.Index(fields=["grant"], condition=Q(closed_at__isnull=True), name="session_open"),
            models.Index(
                fields=["gateway"], condition=Q(closed_at__isnull=True), name="session_open_at_gateway"
            ),
        ]

    def __str__(self) -> str:
        return f"session {self.pk}"


class RunState(models.TextChoices):
    """The state of a command."""

    REFUSED = "refused"
    HELD = "held"
    HOLD_DENIED = "hold_denied"
    HOLD_LAPSED = "hold_lapsed"
    HOLD_WITHDRAWN = "withdrawn"
    ALLOWED = "allowed"
    RUNNING = "running"
    DONE = "done"
    CUT = "cut"
    # Nothing was sent to the target.
    FAILED = "failed"


def may_yet_run(now: dt.datetime) -> Q:
    """Return the condition that a held command, whether allowed yet or not, can still run: it has not
    expired, and its grant is active.
    """
    return Q(state=RunState.HELD, hold_lapses_at__gt=now, grant__state=GrantState.ACTIVE)


class CommandRunQuerySet(models.QuerySet["CommandRun"]):
    """Filters on command runs."""

    def visible_to(self, identity: Identity) -> CommandRunQuerySet:
        """Return runs of grants that the identity can see."""
        return self.filter(grant__in=Grant.objects.visible_to(identity).values("pk"))

    def waiting(self, now: dt.datetime) -> CommandRunQuerySet:
        """Return runs that are still waiting for approval."""
        return self.filter(may_yet_run(now), decided_at__isnull=True)

    def allowed_once(self, now: dt.datetime) -> CommandRunQuerySet:
        """Return held runs that were allowed to run once and have not run yet."""
        return self.filter(may_yet_run(now), decided_at__isnull=False)

    def unreported(self) -> CommandRunQuerySet:
        """Return runs that ended without a report about their recording. A file may exist."""
        return self.filter(
            recording="", recording_purged_at__isnull=True, started_at__isnull=False, ended_at__isnull=False
        )


class CommandRun(models.Model):
    """One command attempted in a session, with its argv, target, state, exit status and recording."""

    grant = models.ForeignKey(Grant, on_delete=models.PROTECT, related_name="runs")
    session = models.ForeignKey(Session, on_delete=models.PROTECT, related_name="runs")
    target = models.ForeignKey(Target, on_delete=models.PROTECT, related_name="+")
    # The address of this run's client. Several clients can share a token, and so a session.
    client_address = models.CharField(max_length=64, blank=True, db_default="")
    line = models.TextField()
    argv = models.JSONField(default=list)
    command_index = models.PositiveIntegerField(null=True)
    effect = models.CharField(max_length=12, blank=True)
    state = models.CharField(max_length=12, choices=RunState.choices)
    reason = models.TextField(blank=True)
    tried_at = models.DateTimeField(db_default=Now())
    started_at = models.DateTimeField(null=True, blank=True)
    deadline = models.DateTimeField(null=True, blank=True)
    ended_at = models.DateTimeField(null=True, blank=True)
    exit_status = models.IntegerField(null=True)
    signal = models.CharField(max_length=16, blank=True)
    hold_lapses_at = models.DateTimeField(null=True, blank=True)
    decided_by = models.ForeignKey(Identity, null=True, on_delete=models.PROTECT, related_name="+")
    decided_at = models.DateTimeField(null=True, blank=True)
    recording = models.CharField(max_length=200, blank=True)
    recording_digest = models.CharField(max_length=64, blank=True)
    output_bytes = models.BigIntegerField(default=0)
    # The rows that a statement returned or changed; null for other commands.
    rows = models.BigIntegerField(null=True)
    # The size of the recording's file in bytes; 0 if there is no file.
    recording_bytes = models.BigIntegerField(default=0, db_default=0)
    # The time when the file is due for deletion. Its digest is kept.
    recording_purged_at = models.DateTimeField(null=True, blank=True)
    # Whether the approval is for the same call for the rest of the grant, instead of once.
    allowed_for_grant = models.BooleanField(default=False, db_default=False)
    # How often the approval allows the same command; 0 for a single run. Each run takes one of the uses left.
    allowed_times = models.PositiveSmallIntegerField(default=0, db_default=0)
    uses_left = models.PositiveSmallIntegerField(default=0, db_default=0)
    # Whether the result may contain instructions from outsiders.
    untrusted = models.BooleanField(default=False, db_default=False)
    # Clauses about the decision, one per line, such as where a value came from.
    notes = models.TextField(blank=True, db_default="")
    # The amounts that the run adds to the budgets of its grant and of parent grants, as `charge_run` stores
    # them.
    charges = models.JSONField(default=list, db_default=[])
    # Whether the run was held because a budget is used up.
    over_budget = models.BooleanField(default=False, db_default=False)

    objects = CommandRunQuerySet.as_manager()

    class Meta:
        default_permissions = ()
        indexes: ClassVar = [
            models.Index(fields=["grant", "id"], name="run_of_grant"),
            models.Index(fields=["hold_lapses_at"], condition=Q(state=RunState.HELD), name="run_held"),
            # An index for a person's history, which counts refused runs across many grants.
            models.Index(fields=["grant"], condition=Q(state=RunState.REFUSED), name="run_refused"),
            # An index of untrusted calls, after which later calls may have to be held.
            models.Index(fields=["grant"], condition=Q(untrusted=True), name="run_untrusted"),
            # An index of approvals for several runs, which later runs may use.
            models.Index(fields=["grant"], condition=Q(uses_left__gt=0), name="run_uses_left"),
            # An index for the refused commands of a period.
            models.Index(fields=["tried_at"], condition=Q(state=RunState.REFUSED), name="run_refused_at"),
            # An index for the total size of stored recordings and the oldest one, without reading the runs.
            models.Index(
                fields=["ended_at"],
                include=["recording_bytes"],
                condition=Q(recording_bytes__gt=0),
                name="run_kept",
            ),
            # Includes the runs of lost gateways.
            models.Index(
                fields=["ended_at"], condition=Q(state=RunState.CUT, recording=""), name="run_cut_unreported"
            ),
        ]

    def __str__(self) -> str:
        return self.line

    def may_yet_run(self, now: dt.datetime) -> bool:
        """Whether the command is held and can still run, allowed or not. Same as the function
        `may_yet_run`, for one row.
        """
        return (
            self.state == RunState.HELD
            and self.hold_lapses_at is not None
            and self.hold_lapses_at > now
            and self.grant.state == GrantState.ACTIVE
        )

    @property
    def how_often(self) -> str:
        """How often the approval allows the command, as text."""
        if self.allowed_for_grant:
            return "for this grant"
        return f"{self.allowed_times} times" if self.allowed_times else "once"

    def waits(self, now: dt.datetime) -> bool:
        """Whether the command is still waiting for approval."""
        return self.decided_at is None and self.may_yet_run(now)


class ReadStatement(models.Model):
    """A run that was read from a target. ``key`` is the run's id on the target."""

    run = models.OneToOneField(CommandRun, on_delete=models.PROTECT, related_name="read_as")
    lease = models.ForeignKey(Lease, on_delete=models.PROTECT, related_name="statements")
    key = models.CharField(max_length=100)

    class Meta:
        default_permissions = ()
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["lease", "key"], name="statement_once_per_lease")
        ]

    def __str__(self) -> str:
        return self.key
