"""Legal holds, which protect data from being deleted or archived."""

from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.db.models import Q

from accounts.models import Identity


class LegalHoldQuerySet(models.QuerySet["LegalHold"]):
    """Queries on legal holds."""

    def in_force(self) -> LegalHoldQuerySet:
        """Return holds that were not removed."""
        return self.filter(removed_at__isnull=True)


class LegalHold(models.Model):
    """One hold: on a grant or a request (``ref``), on an identity, or on a period. Exactly one of these
    is set.

    The SQL function ``stint_held`` alone decides which data a hold covers.
    """

    ref = models.CharField(max_length=16, blank=True)
    identity = models.ForeignKey(
        Identity, null=True, blank=True, on_delete=models.PROTECT, related_name="legal_holds"
    )
    starts_at = models.DateTimeField(null=True, blank=True)
    ends_at = models.DateTimeField(null=True, blank=True)
    reason = models.TextField()
    created_at = models.DateTimeField()
    removed_at = models.DateTimeField(null=True, blank=True)

    objects: ClassVar = LegalHoldQuerySet.as_manager()

    class Meta:
        default_permissions = ()
        constraints = (
            models.CheckConstraint(
                condition=Q(ref__gt="", identity__isnull=True, starts_at__isnull=True, ends_at__isnull=True)
                | Q(ref="", identity__isnull=False, starts_at__isnull=True, ends_at__isnull=True)
                | Q(ref="", identity__isnull=True, starts_at__lt=models.F("ends_at")),
                name="legal_hold_covers_one_thing",
            ),
        )

    def __str__(self) -> str:
        period = f"{self.starts_at:%Y-%m-%d} to {self.ends_at:%Y-%m-%d}" if self.starts_at else ""
        return f"{self.pk}: {self.ref or self.identity or period}"
