"""Recordings in the object store, and those that wait to be stored."""

from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.db.models import Q

from sessions_app.models.session import CommandRun


class StoredRecording(models.Model):
    """The location of a run's recording in the object store.

    The recording is encrypted with its own key, which is stored encrypted.

    ``stored_at`` is empty while the file waits on the gateway's machine. An object with this name may already
    exist.
    """

    run = models.OneToOneField(
        CommandRun, primary_key=True, on_delete=models.PROTECT, related_name="stored_as"
    )
    object = models.CharField(max_length=100, blank=True)
    sealed_key = models.BinaryField(default=b"")
    # The size of the file that was stored, in bytes.
    file_bytes = models.BigIntegerField(default=0)
    waits_since = models.DateTimeField()
    stored_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        default_permissions = ()
        indexes: ClassVar = [
            models.Index(fields=["waits_since"], condition=Q(stored_at__isnull=True), name="recording_waits"),
            # An index for finding objects that no row names.
            models.Index(fields=["object"], name="recording_object"),
        ]

    def __str__(self) -> str:
        return self.object or f"recording of run {self.run_id}"
