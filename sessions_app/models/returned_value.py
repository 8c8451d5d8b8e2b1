"""Values that calls returned, as digests."""

from __future__ import annotations

from typing import ClassVar

from django.db import models

from sessions_app.models.grant import Grant
from sessions_app.models.session import CommandRun


class ReturnedValue(models.Model):
    """A value that a call returned in one field, for later calls of the same grant.

    ``digest`` covers the field and the value, under a key of the grant. ``run`` is the newest call that
    returned the value, at the time ``at``. The rows are deleted when the grant ends.
    """

    # No constraints, because the rows never outlive their grant.
    grant = models.ForeignKey(
        Grant, on_delete=models.CASCADE, related_name="+", db_index=False, db_constraint=False
    )
    run = models.ForeignKey(
        CommandRun, on_delete=models.CASCADE, related_name="+", db_index=False, db_constraint=False
    )
    digest = models.BinaryField()
    at = models.DateTimeField()

    class Meta:
        default_permissions = ()
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["grant", "digest"], name="returned_once_per_grant")
        ]

    def __str__(self) -> str:
        return f"returned by run {self.run_id}"
