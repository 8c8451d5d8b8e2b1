"""Finds the notifications about a request, a run or a grant, so that retention reads no whole table."""

from __future__ import annotations

from django.db import migrations, models
from django.db.models import Q


class Migration(migrations.Migration):
    """Three indexes."""

    dependencies = [("sessions_app", "0024_run_stops")]

    operations = [
        migrations.AddIndex(
            model_name="notice",
            index=models.Index(
                fields=[name], condition=Q(**{f"{name}__isnull": False}), name=f"notice_of_{name}"
            ),
        )
        for name in ("request", "run", "grant")
    ]
