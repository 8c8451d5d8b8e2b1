"""Requests, and the verdicts on them."""

from __future__ import annotations

from typing import Any, ClassVar

from django.db import connection, models
from django.db.models import Exists, OuterRef, Q
from django.db.models.functions import Coalesce, Now

from accounts.models import Identity, answered_for_by
from sessions_app.models.catalog import Cluster, CommandSetVersion
from sessions_app.models.policy import AccessPolicy
from sessions_app.models.workflow import Workflow
from sessions_app.policy import references


class RequestKind(models.TextChoices):
    """The kind of a request."""

    PLANNED = "planned", "Planned"
    QUICK = "quick", "Quick look"
    INCIDENT = "incident", "Incident"
    BREAK_GLASS = "break_glass", "Break-glass access"
    EXTENSION = "extension", "Extension"
    DELEGATION = "delegation", "Delegation"


# Urgent kinds of access. Their limits and notifications are separate, so that other requests don't delay
# them.
URGENT_KINDS = (RequestKind.INCIDENT, RequestKind.BREAK_GLASS)


class RequestState(models.TextChoices):
    """The state of a request. All but PENDING are final."""

    PENDING = "pending"
    APPROVED = "approved"
    DENIED = "denied"
    WITHDRAWN = "withdrawn"
    LAPSED = "lapsed", "Expired"


class AccessRequestQuerySet(models.QuerySet["AccessRequest"]):
    """Filters on requests."""

    def visible_to(self, identity: Identity) -> AccessRequestQuerySet:
        """Return requests that the identity can see: its own, those of its machines, and those under a policy
        or on a cluster whose activity it can see.

        With a token that is bound to a workflow, it can see only its own requests for that workflow.
        """
        if identity.bound_to:
            return self.filter(requester=identity, workflow__ref=identity.bound_to)
        if identity.is_superuser:
            return self
        return self.filter(
            answered_for_by(identity, "requester")
            | Q(policy__in=AccessPolicy.objects.holding(identity, "view", "approve", "administer"))
            | Q(cluster__in=Cluster.objects.holding(identity, "view", "approve", "administer"))
        )

    def not_asked_again(self) -> AccessRequestQuerySet:
        """Return requests that are their requester's latest for the same command set and cluster."""
        later = AccessRequest.objects.filter(
            requester=OuterRef("requester"),
            cluster=OuterRef("cluster"),
            number__gt=OuterRef("number"),
            command_set_version__command_set=OuterRef("command_set_version__command_set"),
        )
        return self.exclude(Exists(later))


class AccessRequest(models.Model):
    """A request for one command set on one cluster, with a duration and a reason.

    ``digest`` covers the exact scope, and every verdict is bound to it. ``targets`` are ids. ``duration`` is
    in seconds. Without ``starts_at``, the time starts on approval.
    """

    number = models.PositiveIntegerField(unique=True)
    kind = models.CharField(max_length=12, choices=RequestKind.choices, default=RequestKind.PLANNED)
    requester = models.ForeignKey(Identity, on_delete=models.PROTECT, related_name="requests")
    cluster = models.ForeignKey(Cluster, on_delete=models.PROTECT, related_name="requests")
    policy = models.ForeignKey(AccessPolicy, on_delete=models.PROTECT, related_name="requests")
    policy_version = models.PositiveIntegerField()
    command_set_version = models.ForeignKey(
        CommandSetVersion, on_delete=models.PROTECT, related_name="requests"
    )
    extends = models.ForeignKey(
        "sessions_app.Grant", null=True, blank=True, on_delete=models.PROTECT, related_name="extensions"
    )
    # The parent grant of a delegation.
    parent = models.ForeignKey(
        "sessions_app.Grant",
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="+",
        db_index=False,
    )
    workflow = models.ForeignKey(
        Workflow, null=True, blank=True, on_delete=models.PROTECT, related_name="requests", db_index=False
    )
    # Whether the workflow's facts counted as approval at the time of the request.
    vouched = models.BooleanField(default=False, db_default=False)
    parameters = models.JSONField(default=dict)
    targets = models.JSONField(default=list)
    starts_at = models.DateTimeField(null=True, blank=True)
    duration = models.PositiveIntegerField()
    # The policy's terms at the time of the request. Later changes to the policy can narrow these terms,
    # but not widen them.
    terms: models.JSONField[Any, Any] = models.JSONField(
        default=dict, db_default=models.Value({}, models.JSONField())
    )
    reason = models.TextField(blank=True)
    ticket = models.CharField(max_length=200, blank=True)
    digest = models.CharField(max_length=64)
    once = models.CharField(max_length=64, blank=True, db_default="", default="")
    state = models.CharField(max_length=10, choices=RequestState.choices, default=RequestState.PENDING)
    version = models.PositiveIntegerField(default=1)
    created_at = models.DateTimeField(db_default=Now())
    lapses_at = models.DateTimeField()
    decided_at = models.DateTimeField(null=True, blank=True)
    reminded_at = models.DateTimeField(null=True, blank=True)

    objects = AccessRequestQuerySet.as_manager()

    class Meta:
        default_permissions = ()
        indexes: ClassVar = [
            models.Index(
                fields=["lapses_at"], condition=Q(state=RequestState.PENDING), name="request_to_lapse"
            ),
            models.Index(fields=["-created_at"], name="request_newest"),
            models.Index(
                Coalesce("starts_at", "created_at"),
                condition=Q(state__in=["denied", "lapsed", "withdrawn"]),
                name="request_refused",
            ),
            models.Index(
                fields=["workflow"], condition=Q(workflow__isnull=False), name="request_of_workflow"
            ),
            # Used when the parent is deleted.
            models.Index(fields=["parent"], condition=Q(parent__isnull=False), name="request_of_parent"),
        ]
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["requester", "once"], condition=~Q(once=""), name="request_once_per_sending"
            ),
            models.CheckConstraint(condition=Q(duration__gt=0), name="request_duration_positive"),
            models.CheckConstraint(
                condition=Q(kind=RequestKind.EXTENSION, extends__isnull=False)
                | (~Q(kind=RequestKind.EXTENSION) & Q(extends__isnull=True)),
                name="request_extension_names_grant",
            ),
            models.CheckConstraint(
                condition=Q(kind=RequestKind.DELEGATION, parent__isnull=False)
                | (~Q(kind=RequestKind.DELEGATION) & Q(parent__isnull=True)),
                name="request_delegation_names_grant",
            ),
        ]

    def __str__(self) -> str:
        return self.ref

    @property
    def ref(self) -> str:
        """The public reference, such as REQ-1042."""
        return references.request_ref(self.number)

    @property
    def is_urgent(self) -> bool:
        """Whether the request is for break-glass access or an incident, or extends such a grant."""
        kind = self.extends.request.kind if self.extends else self.kind
        return kind in URGENT_KINDS


class Verdict(models.TextChoices):
    """An approval or a denial."""

    APPROVE = "approve"
    DENY = "deny"


class Approval(models.Model):
    """One approver's verdict on one request, bound to the digest that the approver read.

    ``narrowing`` can have ``duration`` (seconds), ``commands`` (kept indices) and ``targets`` (kept ids).
    """

    request = models.ForeignKey(AccessRequest, on_delete=models.PROTECT, related_name="approvals")
    approver = models.ForeignKey(Identity, on_delete=models.PROTECT, related_name="approvals")
    verdict = models.CharField(max_length=8, choices=Verdict.choices)
    digest = models.CharField(max_length=64)
    narrowing = models.JSONField(default=dict)
    comment = models.TextField(blank=True)
    created_at = models.DateTimeField(db_default=Now())
    voided_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        default_permissions = ()
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["request", "approver"],
                condition=Q(voided_at__isnull=True),
                name="approval_once_per_approver",
            )
        ]

    def __str__(self) -> str:
        return f"{self.verdict} by {self.approver_id} on {self.request_id}"


class Comment(models.Model):
    """One entry in the thread of a request: a question or an answer. The database rejects every change."""

    request = models.ForeignKey(AccessRequest, on_delete=models.PROTECT, related_name="comments")
    author = models.ForeignKey(Identity, on_delete=models.PROTECT, related_name="+")
    text = models.TextField()
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return f"comment {self.pk}"


def next_number() -> int:
    """Return the next request number. Numbers are never reused, but some are skipped."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT nextval('sessions_app_request_number')")
        (number,) = cursor.fetchone()
    return int(number)
