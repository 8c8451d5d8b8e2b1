"""Trust policies, which define the tokens of other issuers that machines can exchange for Stint's API
tokens.
"""

from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from accounts.models import Identity


class TrustPolicyQuerySet(models.QuerySet["TrustPolicy"]):
    """Filters on trust policies."""

    def live(self) -> TrustPolicyQuerySet:
        """Return trust policies that are not removed."""
        return self.filter(removed_at__isnull=True)

    def visible_to(self, identity: Identity) -> TrustPolicyQuerySet:
        """Return trust policies that the identity may see.

        Administrators see all, other people see those of their machines, and machines see none.
        """
        if not identity.is_person or identity.is_superuser:
            return self if identity.is_person else self.none()
        return self.filter(identity__owner=identity)

    def administered_by(self, identity: Identity) -> TrustPolicyQuerySet:
        """Return trust policies that the identity can change: all for Stint administrators, none for
        others.
        """
        return self if identity.is_superuser and identity.is_person else self.none()


class TrustPolicy(models.Model):
    """A rule that accepts tokens of one issuer, and the machine that these tokens authenticate.

    ``document`` is the content of the catalog file.
    """

    name = models.SlugField(max_length=63, unique=True)
    summary = models.CharField(max_length=200, blank=True)
    issuer = models.CharField(max_length=300)
    identity = models.ForeignKey(Identity, on_delete=models.PROTECT, related_name="trust_policies")
    source = models.TextField()
    document = models.JSONField(default=dict)
    digest = models.CharField(max_length=64)
    version = models.PositiveIntegerField(default=1)
    created_at = models.DateTimeField(db_default=Now())
    changed_at = models.DateTimeField(db_default=Now())
    removed_at = models.DateTimeField(null=True, blank=True)
    used_at = models.DateTimeField(null=True, blank=True)

    objects = TrustPolicyQuerySet.as_manager()

    class Meta:
        default_permissions = ()
        verbose_name_plural = "trust policies"
        indexes: ClassVar = [
            models.Index(fields=["issuer"], condition=Q(removed_at__isnull=True), name="trust_of_issuer")
        ]

    def __str__(self) -> str:
        return self.name
