"""Proposed versions of documents that may allow more and wait for another administrator."""

from __future__ import annotations

from typing import Any, ClassVar

from django.db import models
from django.db.models import Q

from accounts.models import Identity
from sessions_app.models.catalog import Cluster, CommandSet
from sessions_app.models.policy import AccessPolicy


class ProposalState(models.TextChoices):
    """The state of a proposal. All but PENDING are final."""

    PENDING = "pending"
    PUBLISHED = "published"
    REFUSED = "refused", "Denied"
    WITHDRAWN = "withdrawn"
    LAPSED = "lapsed", "Expired"


class ProposalQuerySet(models.QuerySet["Proposal"]):
    """Filters on proposals."""

    def visible_to(self, identity: Identity) -> ProposalQuerySet:
        """Return proposals for documents that the identity administers. Machines see none."""
        if identity.is_superuser and identity.is_person:
            return self
        return self.filter(
            Q(kind="policies", name__in=AccessPolicy.objects.live().administered_by(identity).values("name"))
            | Q(kind="clusters", name__in=Cluster.objects.live().administered_by(identity).values("name"))
            | Q(kind="command-sets", name__in=CommandSet.objects.administered_by(identity).values("name"))
        )


class Proposal(models.Model):
    """A version of a document that may allow more than the stored version.

    ``wider`` lists the keys that may allow more. ``diff`` has the lines that differ from the document in the
    state ``based_on``. ``accepted`` maps accepted warnings of a command set to reasons. The content of a
    proposal never changes.
    """

    kind = models.CharField(max_length=20)
    name = models.CharField(max_length=63)
    source = models.TextField()
    accepted: models.JSONField[Any, Any] = models.JSONField(default=dict)
    wider: models.JSONField[Any, Any] = models.JSONField()
    diff: models.JSONField[Any, Any] = models.JSONField()
    based_on = models.CharField(max_length=64, blank=True)
    proposed_by = models.ForeignKey(Identity, on_delete=models.PROTECT, related_name="+")
    proposed_at = models.DateTimeField()
    lapses_at = models.DateTimeField()
    state = models.CharField(max_length=10, choices=ProposalState.choices, default=ProposalState.PENDING)
    decided_by = models.ForeignKey(Identity, null=True, on_delete=models.PROTECT, related_name="+")
    decided_at = models.DateTimeField(null=True)
    comment = models.TextField(blank=True, default="")

    objects = ProposalQuerySet.as_manager()

    class Meta:
        default_permissions = ()
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["kind", "name"],
                condition=Q(state=ProposalState.PENDING),
                name="proposal_once_per_document",
            )
        ]

    def __str__(self) -> str:
        return f"proposal {self.pk} for {self.name}"
