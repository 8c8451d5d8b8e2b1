"""Moves the links of notices to the addresses that pages of workflows have now."""

from __future__ import annotations

from django.db import migrations

MOVE = "UPDATE sessions_app_notice SET path = '/{0}/' || substr(path, {1}) WHERE path LIKE '/{2}/%'"


class Migration(migrations.Migration):
    """Links are stored as paths."""

    dependencies = [("sessions_app", "0018_grant_mark")]
    operations = [
        migrations.RunSQL(MOVE.format("workflows", 7, "work"), MOVE.format("work", 12, "workflows")),
    ]
