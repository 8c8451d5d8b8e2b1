"""Approvals of held commands for several runs."""

from __future__ import annotations

from django.db import migrations, models
from django.db.models import Q


class Migration(migrations.Migration):
    """Two columns of runs, and an index of those with uses left."""

    dependencies = [("sessions_app", "0030_held_files")]

    operations = [
        migrations.AddField(
            model_name="commandrun",
            name="allowed_times",
            field=models.PositiveSmallIntegerField(db_default=0, default=0),
        ),
        migrations.AddField(
            model_name="commandrun",
            name="uses_left",
            field=models.PositiveSmallIntegerField(db_default=0, default=0),
        ),
        migrations.AddIndex(
            model_name="commandrun",
            index=models.Index(fields=["grant"], condition=Q(uses_left__gt=0), name="run_uses_left"),
        ),
    ]
