"""People who watch a running command."""

from __future__ import annotations

import datetime as dt
from typing import ClassVar

from django.db import models

from accounts.models import Identity
from sessions_app.models.session import CommandRun

# A live view that was not confirmed for this long gets no more output.
CONFIRMED_FOR = dt.timedelta(seconds=10)


class WatchQuerySet(models.QuerySet["Watch"]):
    """Filters on watches."""

    def confirmed(self, now: dt.datetime) -> WatchQuerySet:
        """Return the views whose process has recently checked that they may continue."""
        return self.filter(seen_at__gt=models.Value(now) - CONFIRMED_FOR)


class Watch(models.Model):
    """One open live view of a running command. The row is deleted when the view ends; the record has the
    start and the end.

    The gateway publishes the output on ``channel``, encrypted under a key for this view only.
    """

    run = models.ForeignKey(CommandRun, on_delete=models.PROTECT, related_name="watches")
    watcher = models.ForeignKey(Identity, on_delete=models.PROTECT, related_name="+")
    channel = models.CharField(max_length=64, unique=True)
    sealed_key = models.BinaryField()
    began_at = models.DateTimeField()
    # The time when the view's process last checked that the watcher may continue.
    seen_at = models.DateTimeField()

    objects = WatchQuerySet.as_manager()

    class Meta:
        default_permissions = ()
        indexes: ClassVar = [models.Index(fields=["seen_at"], name="watch_seen")]

    def __str__(self) -> str:
        return f"{self.watcher} watches run {self.run_id}"
