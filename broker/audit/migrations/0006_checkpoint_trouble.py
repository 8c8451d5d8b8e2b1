"""Makes the place in which it stands since when checkpoints can't be made or kept outside, and why."""

from __future__ import annotations

from django.db import migrations, models


class Migration(migrations.Migration):
    """The trouble with checkpoints."""

    dependencies = [("audit", "0005_checkpoints")]
    operations = [
        migrations.CreateModel(
            name="AuditTrouble",
            fields=[
                ("log", models.TextField(primary_key=True, serialize=False)),
                ("since", models.DateTimeField()),
                ("error", models.TextField()),
            ],
            options={"db_table": "audit_trouble"},
        ),
    ]
