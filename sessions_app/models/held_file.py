"""What approvers see of an upload that waits for them."""

from __future__ import annotations

from django.db import models

from sessions_app.models.session import CommandRun


class HeldFile(models.Model):
    """The text of an upload that waits for approval. ``run`` has its path, size and digest.

    Deleted when the hold ends.
    """

    run = models.OneToOneField(CommandRun, on_delete=models.PROTECT, related_name="held_file")
    sealed_text = models.BinaryField()

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return f"text of run {self.run_id}"
