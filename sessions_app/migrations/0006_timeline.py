"""Indexes by which a timeline finds what was, however long ago."""

from __future__ import annotations

from django.db import migrations, models
from django.db.models.functions import Coalesce


class Migration(migrations.Migration):
    """Grants by their end, and requests that led to nothing by the time that they were for."""

    dependencies = [("sessions_app", "0005_announced_notices")]

    operations = [
        migrations.AddIndex(
            model_name="accessrequest",
            index=models.Index(
                Coalesce("starts_at", "created_at"),
                condition=models.Q(("state__in", ["denied", "lapsed", "withdrawn"])),
                name="request_refused",
            ),
        ),
        migrations.AddIndex(
            model_name="grant",
            index=models.Index(
                condition=models.Q(("state", "ended")), fields=["ended_at", "starts_at"], name="grant_over"
            ),
        ),
    ]
