"""Makes the place in which attempts are counted that are one entry for each minute and source."""

from __future__ import annotations

from django.db import migrations, models


class Migration(migrations.Migration):
    """The counts."""

    dependencies = [
        ("audit", "0006_checkpoint_trouble"),
    ]

    operations = [
        migrations.CreateModel(
            name="AuditAttempt",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("event", models.TextField()),
                ("actor", models.TextField()),
                ("actor_id", models.BigIntegerField(null=True)),
                ("actor_kind", models.TextField()),
                ("object_type", models.TextField()),
                ("object_ref", models.TextField()),
                ("source", models.TextField()),
                ("first_at", models.DateTimeField(db_index=True)),
                ("last_at", models.DateTimeField()),
                ("times", models.BigIntegerField()),
                ("told", models.BooleanField()),
                ("examples", models.JSONField()),
            ],
            options={
                "db_table": "audit_attempt",
                "indexes": [
                    models.Index(
                        condition=models.Q(("told", True)), fields=["event"], name="audit_attempt_told"
                    )
                ],
                "constraints": [
                    models.UniqueConstraint(
                        fields=("event", "object_ref", "source"), name="audit_attempt_once"
                    )
                ],
            },
        ),
    ]
