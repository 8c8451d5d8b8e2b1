"""Runs know how large their recording is, and when it was purged."""

from django.db import migrations, models


class Migration(migrations.Migration):
    """Two columns, and the index by which what is kept is counted and found."""

    dependencies = [("sessions_app", "0013_lease_before")]

    operations = [
        migrations.AddField("commandrun", "recording_bytes", models.BigIntegerField(db_default=0, default=0)),
        migrations.AddField("commandrun", "recording_purged_at", models.DateTimeField(blank=True, null=True)),
        migrations.AddIndex(
            "commandrun",
            models.Index(
                fields=["ended_at"],
                include=["recording_bytes"],
                condition=models.Q(("recording_bytes__gt", 0)),
                name="run_kept",
            ),
        ),
    ]
