"""The details that approvers see of a transaction held at its COMMIT."""

from __future__ import annotations

from django.db import models

from sessions_app.models.session import CommandRun


class HeldCommit(models.Model):
    """A transaction that is, or was, held at its COMMIT. ``run`` is held for all of its statements.

    ``sealed_content`` has the statements with their rows before and after. It is deleted with the recordings
    of its grant's policy.
    """

    run = models.OneToOneField(CommandRun, on_delete=models.PROTECT, related_name="held_commit")
    # How many statements wait, and how many rows they have touched.
    statements = models.PositiveIntegerField()
    touched = models.BigIntegerField()
    sealed_content = models.BinaryField()

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return f"COMMIT of run {self.run_id}"
