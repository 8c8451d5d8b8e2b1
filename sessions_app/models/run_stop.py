"""Requests to end single running commands, while their grants continue."""

from __future__ import annotations

from django.db import models

from accounts.models import Identity
from sessions_app.models.session import CommandRun


class RunStop(models.Model):
    """A request to end one running command. The gateway that runs the command reads the row."""

    run = models.OneToOneField(CommandRun, on_delete=models.PROTECT, related_name="stop")
    by = models.ForeignKey(Identity, on_delete=models.PROTECT, related_name="+")
    at = models.DateTimeField()

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return f"{self.by} ended run {self.run_id}"
