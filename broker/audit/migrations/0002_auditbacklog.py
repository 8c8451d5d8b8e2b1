"""Makes the place in which entries about ends wait while the record refuses."""

from __future__ import annotations

from django.db import migrations, models


class Migration(migrations.Migration):
    """The backlog."""

    dependencies = [("audit", "0001_initial")]
    operations = [
        migrations.CreateModel(
            name="AuditBacklog",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("at", models.DateTimeField()),
                ("event", models.TextField()),
                ("actor", models.TextField()),
                ("actor_id", models.BigIntegerField(null=True)),
                ("actor_kind", models.TextField(default="system")),
                ("object_type", models.TextField()),
                ("object_ref", models.TextField()),
                ("data", models.JSONField(default=dict)),
            ],
            options={"db_table": "audit_backlog"},
        )
    ]
