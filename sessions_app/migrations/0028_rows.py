"""How many rows a statement returned or changed."""

from __future__ import annotations

from django.db import migrations, models


class Migration(migrations.Migration):
    """Adds the column."""

    dependencies = [("sessions_app", "0027_held_commits")]

    operations = [
        migrations.AddField(model_name="commandrun", name="rows", field=models.BigIntegerField(null=True)),
    ]
