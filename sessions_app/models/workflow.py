"""Workflows, such as incidents and changes, which justify access."""

from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.db.models import Q, Value
from django.db.models.functions import Now

from accounts.models import Identity
from sessions_app.models.catalog import Cluster

# The provider name of Stint's own workflows.
OWN = "stint"
# The longest reference: the name of a source, a colon, and the id in the source.
LONGEST_REF = 200


class WorkflowKind(models.TextChoices):
    """The kind of a workflow."""

    INCIDENT = "incident", "Incident"
    CHANGE = "change", "Change"
    TICKET = "ticket", "Ticket"
    TASK = "task", "Task"
    PIPELINE = "pipeline", "Pipeline"


class WorkflowState(models.TextChoices):
    """Open or closed. A closed workflow is never reopened; the database rejects this."""

    OPEN = "open"
    CLOSED = "closed"


class Severity(models.TextChoices):
    """The severity of an incident, worst first."""

    P1 = "P1"
    P2 = "P2"
    P3 = "P3"
    P4 = "P4"


class WorkflowQuerySet(models.QuerySet["Workflow"]):
    """Filters on workflows."""

    def open(self) -> WorkflowQuerySet:
        """Return workflows that can justify access now."""
        return self.filter(state=WorkflowState.OPEN)

    def visible_to(self, identity: Identity) -> WorkflowQuerySet:
        """Return workflows on a cluster that the identity can see, and workflows that the identity opened, is
        assigned to or has joined.

        With a token that is bound to a workflow, it can see only that workflow.
        """
        if identity.bound_to:
            return self.filter(ref=identity.bound_to)
        if identity.is_superuser:
            return self
        clusters = Cluster.objects.visible_to(identity).values("pk")
        through = self.model.clusters.through.objects.filter(cluster_id__in=clusters)
        joined = self.model.members.through.objects.filter(identity_id=identity.pk)
        return self.filter(
            Q(pk__in=through.values("workflow_id"))
            | Q(pk__in=joined.values("workflow_id"))
            | Q(opened_by=identity)
            | Q(assignee=identity)
        )


class WorkflowSourceQuerySet(models.QuerySet["WorkflowSource"]):
    """Filters on sources."""

    def live(self) -> WorkflowSourceQuerySet:
        """Return sources that are not removed."""
        return self.filter(removed_at__isnull=True)

    def administered_by(self, identity: Identity) -> WorkflowSourceQuerySet:
        """Return sources that the identity can see and change: all for Stint administrators, none for other
        people or for machines.
        """
        return self if identity.is_superuser and identity.is_person else self.none()


class WorkflowSource(models.Model):
    """An external system with workflows: its parameters, and the secrets of its webhooks.

    ``document`` is the content of the catalog file without secrets, which are encrypted in ``sealed``.
    """

    name = models.SlugField(max_length=63, unique=True)
    provider = models.CharField(max_length=32)
    summary = models.CharField(max_length=200, blank=True)
    document = models.JSONField(default=dict)
    sealed = models.BinaryField(default=b"")
    created_at = models.DateTimeField(db_default=Now())
    changed_at = models.DateTimeField(db_default=Now())
    removed_at = models.DateTimeField(null=True, blank=True)
    # The time when the source last responded, and the error since then.
    read_at = models.DateTimeField(null=True, blank=True)
    last_error = models.TextField(blank=True)
    failed_at = models.DateTimeField(null=True, blank=True)
    # Only one process at a time reads from a source, so that a hanging source delays nothing else.
    asking_until = models.DateTimeField(null=True, blank=True)
    # Unverified deliveries. All of them are counted, but at most one per minute is recorded.
    refused = models.PositiveBigIntegerField(default=0)
    refused_recorded_at = models.DateTimeField(null=True, blank=True)

    objects = WorkflowSourceQuerySet.as_manager()

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return self.name


class DeliveryState(models.TextChoices):
    """The state of a delivery."""

    RECEIVED = "received", "Pending"
    HANDLED = "handled", "Handled"
    IGNORED = "ignored", "Ignored"


class InboundDelivery(models.Model):
    """A verified webhook delivery.

    ``key`` is unique for each signed content. ``hints`` are ids in the source, each with whether the workflow
    is closed.
    """

    source = models.ForeignKey(WorkflowSource, on_delete=models.PROTECT, related_name="deliveries")
    key = models.CharField(max_length=200)
    event = models.CharField(max_length=100, blank=True)
    hints = models.JSONField(default=list)
    state = models.CharField(max_length=8, choices=DeliveryState.choices, default=DeliveryState.RECEIVED)
    received_at = models.DateTimeField(db_default=Now())
    handled_at = models.DateTimeField(null=True, blank=True)
    closed = models.PositiveIntegerField(default=0)
    last_error = models.TextField(blank=True)

    class Meta:
        default_permissions = ()
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["source", "key"], name="delivery_once_per_source")
        ]
        indexes: ClassVar = [
            models.Index(fields=["received_at"], condition=Q(state="received"), name="delivery_waiting"),
            models.Index(fields=["source", "-received_at"], name="delivery_newest"),
        ]

    def __str__(self) -> str:
        return self.key


class Workflow(models.Model):
    """One workflow. Access bound to it ends when the workflow is closed.

    The workflow is Stint's own (``source`` is None), or belongs to ``source`` under ``outside_id``, as read
    at ``read_at``. ``facts`` maps names to strings that commands can be bound to. ``starts_at`` and
    ``ends_at`` are the planned time, which limits access. ``assigned`` and ``on_call`` are people as the
    source names them. So are ``named_openers``, who opened the workflow (empty if the source does not report
    them; the first value is kept), and ``named_changers``, who last changed its severity, urgency or
    assignees (None if the source does not report them).
    """

    provider = models.CharField(max_length=32, default=OWN)
    source = models.ForeignKey(
        WorkflowSource, null=True, blank=True, on_delete=models.PROTECT, related_name="workflows"
    )
    outside_id = models.CharField(max_length=128, blank=True)
    kind = models.CharField(max_length=10, choices=WorkflowKind.choices)
    ref = models.CharField(max_length=LONGEST_REF)
    title = models.CharField(max_length=200)
    severity = models.CharField(max_length=2, choices=Severity.choices, blank=True)
    clusters = models.ManyToManyField(Cluster, related_name="workflows")
    assignee = models.ForeignKey(
        Identity, null=True, blank=True, on_delete=models.PROTECT, related_name="assigned_work"
    )
    members = models.ManyToManyField(Identity, related_name="joined_work")
    assigned = models.JSONField(default=list)
    on_call = models.JSONField(default=list)
    named_openers = models.JSONField(default=list, db_default=Value([], models.JSONField()))
    named_changers = models.JSONField(null=True, default=None)
    facts = models.JSONField(default=dict)
    url = models.CharField(max_length=500, blank=True)
    starts_at = models.DateTimeField(null=True, blank=True)
    ends_at = models.DateTimeField(null=True, blank=True)
    state = models.CharField(max_length=6, choices=WorkflowState.choices, default=WorkflowState.OPEN)
    opened_at = models.DateTimeField(db_default=Now())
    opened_by = models.ForeignKey(Identity, null=True, on_delete=models.PROTECT, related_name="+")
    closed_at = models.DateTimeField(null=True, blank=True)
    closed_by = models.ForeignKey(Identity, null=True, on_delete=models.PROTECT, related_name="+")
    close_note = models.TextField(blank=True)
    # The time when the source last reported the workflow as open, the time of the last read, the error
    # since then, and whether the source failed or rejected the read.
    read_at = models.DateTimeField(null=True, blank=True)
    asked_at = models.DateTimeField(null=True, blank=True)
    read_error = models.TextField(blank=True)
    read_failed = models.BooleanField(default=False, db_default=False)

    objects = WorkflowQuerySet.as_manager()

    class Meta:
        default_permissions = ()
        indexes: ClassVar = [
            models.Index(fields=["kind"], condition=Q(state="open"), name="workflow_open"),
            models.Index(fields=["-opened_at"], name="workflow_newest"),
        ]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["ref"], name="workflow_ref_once"),
            # A source can reopen a workflow. It then becomes a new workflow in Stint, and the old one stays
            # closed.
            models.UniqueConstraint(
                fields=["source", "outside_id"],
                condition=Q(state="open", source__isnull=False),
                name="workflow_open_once_per_source",
            ),
            models.CheckConstraint(
                condition=Q(state="open", closed_at__isnull=True)
                | Q(state="closed", closed_at__isnull=False),
                name="workflow_closed_at_a_time",
            ),
            models.CheckConstraint(
                condition=Q(starts_at__isnull=True)
                | Q(ends_at__isnull=True)
                | Q(ends_at__gt=models.F("starts_at")),
                name="workflow_ends_after_start",
            ),
            models.CheckConstraint(
                condition=Q(source__isnull=True, outside_id="")
                | (Q(source__isnull=False) & ~Q(outside_id="")),
                name="workflow_of_a_source_has_its_id",
            ),
        ]

    def __str__(self) -> str:
        return self.ref

    @property
    def id_there(self) -> str:
        """The workflow's id in its source."""
        return self.outside_id or self.ref

    @property
    def opener(self) -> str:
        """Who opened the workflow, if known: an identity, or people as the source names them."""
        return str(self.opened_by) if self.opened_by else ", ".join(self.named_openers)

    @property
    def link(self) -> str:
        """The URL of the workflow's page in the source; empty if the stored link is not a web address."""
        return self.url if self.url.startswith(("https://", "http://")) else ""

    def fact(self, name: str) -> str:
        """Return the value of ``workflow.<name>``; empty if unknown."""
        own = {"id": self.id_there, "ref": self.ref, "kind": self.kind, "severity": self.severity}
        return own[name] if name in own else str(self.facts.get(name, ""))
