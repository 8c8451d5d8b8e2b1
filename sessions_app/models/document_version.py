"""Every version of every catalog document."""

from __future__ import annotations

from typing import Any, ClassVar

from django.db import models


class DocumentVersion(models.Model):
    """One version of a catalog document, with secrets masked.

    ``document`` is None if the document was removed.

    The database rejects every change to a version. The record entry that is written with the version has its
    digest.
    """

    # The terms that plans use, such as `policy` and `workflow source`.
    type = models.CharField(max_length=20)
    name = models.CharField(max_length=150)
    number = models.PositiveIntegerField()
    document: models.JSONField[Any, Any] = models.JSONField(null=True)
    digest = models.CharField(max_length=64, blank=True)
    at = models.DateTimeField()
    by = models.CharField(max_length=255)
    by_id = models.BigIntegerField(null=True)

    class Meta:
        default_permissions = ()
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["type", "name", "number"], name="document_version_once")
        ]

    def __str__(self) -> str:
        return f"{self.type} {self.name}, version {self.number}"
