"""What stood on a target before anything was made there, to hold the end against, and which roles no grant may have."""

from __future__ import annotations

from django.db import migrations, models


class Migration(migrations.Migration):
    """Empty where a connector compares nothing."""

    dependencies = [("sessions_app", "0012_restored")]
    operations = [
        migrations.AddField(model_name="lease", name="before", field=models.JSONField(default=dict)),
        migrations.AddField(model_name="observation", name="unfit", field=models.JSONField(default=dict)),
    ]
