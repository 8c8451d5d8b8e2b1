"""Grants, which give time-limited access after approval, and their leases on targets."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection
from typing import Any, ClassVar, Self

from django.db import models
from django.db.models import F, Func, Q
from django.db.models.expressions import RawSQL
from django.db.models.functions import Now
from django.db.models.lookups import GreaterThan

from accounts.models import ANSWERED_FOR, Identity, answered_for_by
from broker.kernel.postgresql.rows import ask
from sessions_app.models.catalog import Cluster, CommandSetVersion, Target
from sessions_app.models.grant_state import BEFORE_END, GrantState, GrantStateField
from sessions_app.models.policy import AccessPolicy
from sessions_app.models.request import AccessRequest
from sessions_app.models.workflow import Workflow
from sessions_app.policy.references import LONGEST_GRANT


class EndReason(models.TextChoices):
    """Why a grant ended."""

    EXPIRED = "expired", "Expired"
    RELEASED = "released", "Ended by the holder"
    REVOKED = "revoked", "Revoked"
    WORKFLOW_CLOSED = "workflow_closed", "Workflow closed"
    POLICY_CHANGED = "policy_changed", "Policy changed"
    IDENTITY_DISABLED = "identity_disabled", "Holder disabled"
    PROVISION_FAILED = "provision_failed", "Could not be started"
    CLUSTER_REMOVED = "cluster_removed", "Cluster removed"
    DEVIATION = "deviation", "Too many refused commands"
    SILENT = "silent", "Heartbeat missed"
    PARENT_ENDED = "parent_ended", "Parent grant ended"
    RESTORED = "restored", "Database restored from a backup"
    BUDGET_USED = "budget_used", "Budget used up"


def why_over(reason: str) -> str:
    """Return the reason for an end as the end of a sentence, such as `workflow closed`; empty if unknown."""
    label = str(EndReason(reason).label) if reason in EndReason.values else ""
    return f"{label[:1].lower()}{label[1:]}"


# Raw SQL, for the same reason as in `visibility.permitted`.
_HANDED_ON = f"""
SELECT child.id FROM sessions_app_grant child
  JOIN sessions_app_grant above ON above.id = child.parent_id
  LEFT JOIN sessions_app_grant top ON top.id = above.parent_id
 WHERE child.parent_id IS NOT NULL AND EXISTS (
    SELECT FROM accounts_identity mine
     WHERE {ANSWERED_FOR} AND mine.id IN (above.holder_id, top.holder_id))
"""  # noqa: S608  # fixed text


def handed_on_by(identity: Identity) -> RawSQL:
    """Return the ids of grants delegated, at most twice, from grants of the identity or its machines."""
    return RawSQL(_HANDED_ON, (identity.pk, identity.pk), output_field=models.BigAutoField())  # noqa: S611


def all_above_usable(now: dt.datetime) -> Q:
    """Return the condition that a grant was not delegated, or that every grant in its chain of delegations is
    usable at ``now``.
    """
    until = Func(F("parent"), function="stint_usable_until", output_field=models.DateTimeField())
    return Q(parent__isnull=True) | Q(GreaterThan(until, now))


_INTENTS = "SELECT at, by_id, reason, note, cut FROM sessions_app_endintent WHERE grant_id = %s ORDER BY id"


class GrantQuerySet(models.QuerySet["Grant"]):
    """Filters on grants."""

    def visible_to(self, identity: Identity) -> GrantQuerySet:
        """Return grants that the identity can see: its own, those of its machines, those delegated from
        either, and those under a policy or on a cluster whose activity it can see.

        With a token that is bound to a workflow, it can see only its own grants for that workflow, and those
        delegated from them.
        """
        return self._reached_by(identity, "view", "approve", "administer")

    def endable_by(self, identity: Identity) -> GrantQuerySet:
        """Return grants that the identity can end: its own, those of its machines, those delegated from
        either, and those that it approves or administers.
        """
        return self._reached_by(identity, "approve", "administer")

    def _reached_by(self, identity: Identity, *permissions: str) -> GrantQuerySet:
        if identity.bound_to:
            return self.filter(
                Q(holder=identity) | Q(pk__in=handed_on_by(identity)), workflow__ref=identity.bound_to
            )
        if identity.is_superuser:
            return self
        return self.filter(
            answered_for_by(identity, "holder")
            | Q(pk__in=handed_on_by(identity))
            | Q(policy__in=AccessPolicy.objects.holding(identity, *permissions))
            | Q(cluster__in=Cluster.objects.holding(identity, *permissions))
        )

    def in_use(self, now: dt.datetime) -> GrantQuerySet:
        """Return grants that can be used at ``now``. SQL statements of gateways have the same condition."""
        return self.filter(
            Q(heartbeat_due_at__isnull=True) | Q(heartbeat_due_at__gt=now),
            all_above_usable(now),
            state=GrantState.ACTIVE,
            held_at__isnull=True,
            starts_at__lte=now,
            expires_at__gt=now,
            holder__in=Identity.objects.active(),
            cluster__removed_at__isnull=True,
        )

    def before_end(self) -> GrantQuerySet:
        """Return grants whose end has not begun. They are the ones in the sweep's index of due ends."""
        return self.filter(state__in=BEFORE_END)

    def not_ended(self) -> GrantQuerySet:
        """Return grants in any state before ENDED."""
        return self.exclude(state=GrantState.ENDED)


class Grant(models.Model):
    """Authority for a limited time: identity × cluster × command set version × parameters × window.

    Permission is computed at each use from ``state`` and ``expires_at``, so no message is needed to end it.
    ``commands`` are the indices of the version's commands that approvers kept. A grant whose end waits for a
    row lock is read as if the row had already been updated.
    """

    ref = models.CharField(max_length=LONGEST_GRANT)
    request = models.OneToOneField(AccessRequest, on_delete=models.PROTECT, related_name="grant")
    # No index of its own, because `grant_of_holder` begins with this column.
    holder = models.ForeignKey(Identity, on_delete=models.PROTECT, related_name="grants", db_index=False)
    cluster = models.ForeignKey(Cluster, on_delete=models.PROTECT, related_name="grants")
    policy = models.ForeignKey(AccessPolicy, on_delete=models.PROTECT, related_name="grants")
    # No index, because searches by version read only the few grants that have not ended.
    command_set_version = models.ForeignKey(
        CommandSetVersion, on_delete=models.PROTECT, related_name="grants", db_index=False
    )
    workflow = models.ForeignKey(
        Workflow, null=True, blank=True, on_delete=models.PROTECT, related_name="grants", db_index=False
    )
    # The parent of a delegated grant. The child allows no more than its parent, and ends with it.
    parent = models.ForeignKey(
        "self", null=True, blank=True, on_delete=models.PROTECT, related_name="children", db_index=False
    )
    parameters = models.JSONField(default=dict)
    commands = models.JSONField(default=list)
    targets = models.ManyToManyField(Target, related_name="grants")
    # Identifies every process and object of the grant on its targets. Authorizes nothing.
    mark = models.CharField(max_length=64)
    break_glass = models.BooleanField(default=False)
    starts_at = models.DateTimeField()
    expires_at = models.DateTimeField()
    state = GrantStateField(max_length=12, choices=GrantState.choices, default=GrantState.SCHEDULED)
    version = models.PositiveIntegerField(default=1)
    created_at = models.DateTimeField(db_default=Now())
    activated_at = models.DateTimeField(null=True, blank=True)
    revoking_at = models.DateTimeField(null=True, blank=True)
    ended_at = models.DateTimeField(null=True, blank=True)
    end_reason = models.CharField(max_length=20, choices=EndReason.choices, blank=True)
    end_note = models.TextField(blank=True)
    ended_by = models.ForeignKey(
        Identity, null=True, blank=True, on_delete=models.PROTECT, related_name="+", db_index=False
    )
    # The maximum number of seconds that a command may continue past the end, as shown to approvers.
    finish_seconds = models.PositiveIntegerField(default=0)
    # How long running commands with the end policy `finish` may continue. None: all commands are cut.
    finish_until = models.DateTimeField(null=True, blank=True)
    attempts = models.PositiveIntegerField(default=0)
    next_attempt_at = models.DateTimeField(null=True, blank=True)
    last_error = models.TextField(blank=True)
    # When, by whom (None: after too many refused commands) and why it was suspended.
    held_at = models.DateTimeField(null=True, blank=True)
    held_by = models.ForeignKey(Identity, models.PROTECT, related_name="+", null=True, db_index=False)
    held_note = models.TextField(blank=True, db_default="")
    # Refusals up to this run no longer count.
    deviations_after = models.BigIntegerField(default=0, db_default=0)
    # The heartbeat interval in seconds, and the next heartbeat's deadline. Missing it ends the grant.
    heartbeat_seconds = models.PositiveIntegerField(null=True, blank=True)
    heartbeat_due_at = models.DateTimeField(null=True, blank=True)
    warned_at = models.DateTimeField(null=True, blank=True)
    # When the review of access without approval is due: of break-glass access, or of access for an incident
    # that may be the holder's own. None if people or the policy approved the access.
    review_due_at = models.DateTimeField(null=True, blank=True)
    reviewed_at = models.DateTimeField(null=True, blank=True)
    reviewed_by = models.ForeignKey(
        Identity, null=True, blank=True, on_delete=models.PROTECT, related_name="+", db_index=False
    )
    review_note = models.TextField(blank=True)
    review_escalated_at = models.DateTimeField(null=True, blank=True)

    objects = GrantQuerySet.as_manager()

    class Meta:
        default_permissions = ()
        indexes: ClassVar = [
            models.Index(
                fields=["expires_at"],
                condition=Q(state__in=["scheduled", "provisioning", "active"]),
                name="grant_to_end",
            ),
            models.Index(
                fields=["starts_at"],
                condition=Q(state__in=["scheduled", "provisioning"]),
                name="grant_to_start",
            ),
            models.Index(fields=["next_attempt_at"], condition=Q(state="revoking"), name="grant_to_revoke"),
            models.Index(fields=["holder"], condition=Q(state="active"), name="grant_in_use"),
            models.Index(
                fields=["review_due_at"],
                condition=Q(review_due_at__isnull=False, reviewed_at__isnull=True),
                name="grant_to_review",
            ),
            models.Index(
                fields=["reviewed_by", "-reviewed_at"],
                condition=Q(reviewed_by__isnull=False),
                name="grant_reviewed",
            ),
            models.Index(fields=["workflow"], condition=Q(workflow__isnull=False), name="grant_of_workflow"),
            models.Index(fields=["parent"], condition=Q(parent__isnull=False), name="grant_of_parent"),
            models.Index(
                fields=["heartbeat_due_at"],
                condition=Q(state="active", heartbeat_due_at__isnull=False),
                name="grant_heartbeat_due",
            ),
            models.Index(fields=["-created_at"], name="grant_newest"),
            models.Index(fields=["holder", "-created_at"], name="grant_of_holder"),
            # Written once, at the end. Timelines find past grants by this column, and grants that are not
            # over by the deadline.
            models.Index(fields=["ended_at", "starts_at"], condition=Q(state="ended"), name="grant_over"),
            # An index of the few ends that were not at the deadline, for statistics of revocations.
            models.Index(
                fields=["ended_at"],
                condition=Q(state="ended") & ~Q(end_reason="expired"),
                name="grant_revoked",
            ),
            # An index of the rows that are shown most often: the few grants that have not ended.
            models.Index(fields=["cluster"], condition=~Q(state="ended"), name="grant_alive"),
        ]
        constraints: ClassVar = [
            # Not `unique=True`, which would add an index for LIKE: every index slows each sweep.
            models.UniqueConstraint(fields=["ref"], name="grant_ref_once"),
            models.UniqueConstraint(fields=["mark"], name="grant_mark_once"),
            models.CheckConstraint(condition=Q(expires_at__gt=F("starts_at")), name="grant_ends_after_start"),
            models.CheckConstraint(
                condition=~Q(state__in=["revoking", "ended"]) | ~Q(end_reason=""), name="grant_end_has_reason"
            ),
            models.CheckConstraint(
                condition=~Q(state="ended") | Q(ended_at__isnull=False), name="grant_ended_has_time"
            ),
        ]

    def __str__(self) -> str:
        return self.ref

    @classmethod
    def from_db(
        cls, db: str | None, field_names: Collection[str], values: Collection[Any], **more: Any
    ) -> Self:
        """Build a grant from a database row.

        A pending end or cut that is not yet stored in the row is applied to the object (`EndIntent`).
        """
        grant = super().from_db(db, field_names, values, **more)
        known = grant.__dict__
        if known.get("state") == GrantState.REVOKING and (
            known.get("revoking_at", ...) is None or known.get("finish_until") is not None
        ):
            grant.end_as_intended()
        return grant

    def end_as_intended(self) -> None:
        """Apply the ends that wait for the row."""
        intents = ask(_INTENTS, self.pk)
        cut = next((at for at, *_, cuts in intents if cuts), None)
        if self.revoking_at is not None:
            self.finish_until = cut or self.finish_until
        elif intents:
            self.revoking_at, self.ended_by_id, self.end_reason, self.end_note, _ = intents[0]
            self.finish_until = self.finish_from(intents[0][0], cut=cut is not None)
        else:
            # The row has been updated in the meantime.
            fields = [field.attname for field in self._meta.concrete_fields]
            for name, value in Grant.objects.values(*fields).get(pk=self.pk).items():
                setattr(self, name, value)

    def finish_from(self, now: dt.datetime, *, cut: bool) -> dt.datetime | None:
        """Return the time until which commands may finish if the grant ends at ``now``; None if they are cut.

        The time counts from the deadline even if the end is late, so that no command runs longer than
        approvers saw.
        """
        if cut or not self.finish_seconds:
            return None
        return min(now, self.expires_at) + dt.timedelta(seconds=self.finish_seconds)

    @property
    def ender(self) -> Identity | None:
        """Who ended the grant. `select_related` does not load this for an end that waits for the row."""
        if self.ended_by is None and self.ended_by_id is not None:
            self.ended_by = Identity.objects.get(pk=self.ended_by_id)
        return self.ended_by

    @property
    def why_ended(self) -> str:
        """Return why the grant ended or is ending, and who ended it, as the end of a sentence, such as
        `revoked by Bob`; empty before the end.
        """
        if self.ended_by_id is None:
            return why_over(self.end_reason)
        why = "ended" if self.end_reason == EndReason.RELEASED else why_over(self.end_reason)
        return f"{why} by {self.ender}"

    @property
    def is_own_incident(self) -> bool:
        """Whether the grant started without approval for an incident that its holder opened or changed, or
        may have.
        """
        return self.review_due_at is not None and not self.break_glass


class PurgedGrant(models.Model):
    """The reference of a deleted grant. It is never reused, because the record has entries under it."""

    ref = models.CharField(max_length=LONGEST_GRANT, primary_key=True)

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return self.ref


class Lease(models.Model):
    """A grant's access on a target that was created or may be left, with the evidence that it is gone.

    The row is written before the first call to the target, and closed only by the target's answer. It stores
    the address, because the target's row can change.
    """

    grant = models.ForeignKey(Grant, on_delete=models.PROTECT, related_name="leases")
    target = models.ForeignKey(Target, on_delete=models.PROTECT, related_name="leases")
    address = models.CharField(max_length=253)
    port = models.PositiveIntegerField()
    account = models.CharField(max_length=32)
    host_key = models.TextField(blank=True)
    host_ca = models.TextField(blank=True)
    connection = models.JSONField(default=dict)
    sealed_connection = models.BinaryField(default=b"")
    made_at = models.DateTimeField(db_default=Now())
    # The objects that the connector created, and when they expire; empty if none are needed or created yet.
    made = models.JSONField(default=dict)
    made_until = models.DateTimeField(null=True, blank=True)
    # The state of the target before the connector created anything, for comparison after the end. Set by the
    # connector's first answer.
    before = models.JSONField(default=dict)
    # Until this time, a process may still be creating objects, so an earlier check proves nothing.
    making_until = models.DateTimeField(null=True, blank=True)
    # The time since which a worker has been waiting for the target's answer. Valid only while its claim on
    # the grant is renewed.
    asked_at = models.DateTimeField(null=True, blank=True)
    # The times when a revocation last got an answer from the target, and when it last got none.
    answered_at = models.DateTimeField(null=True, blank=True)
    failed_at = models.DateTimeField(null=True, blank=True)
    gone_at = models.DateTimeField(null=True, blank=True)
    evidence = models.JSONField(default=dict)
    attempts = models.PositiveIntegerField(default=0)
    last_error = models.TextField(blank=True)

    class Meta:
        default_permissions = ()
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["grant", "target"], name="lease_once_per_target")
        ]
        indexes: ClassVar = [
            models.Index(fields=["grant"], condition=Q(gone_at__isnull=True), name="lease_not_gone"),
            models.Index(fields=["address"], condition=Q(gone_at__isnull=True), name="lease_at_host"),
            models.Index(
                fields=["target"],
                condition=Q(gone_at__isnull=True) & (Q(failed_at__isnull=False) | Q(asked_at__isnull=False)),
                name="lease_asked_or_failing",
            ),
            models.Index(
                fields=["address", "port", "answered_at"],
                condition=Q(answered_at__isnull=False),
                name="lease_answered",
            ),
        ]

    def __str__(self) -> str:
        return f"lease of {self.grant_id} on {self.target_id}"
