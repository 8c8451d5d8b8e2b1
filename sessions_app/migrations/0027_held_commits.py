"""What approvers see of a transaction that waits at its COMMIT."""

from __future__ import annotations

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    """The table of held transactions."""

    dependencies = [
        ("sessions_app", "0026_suspended_by"),
    ]

    operations = [
        migrations.CreateModel(
            name="HeldCommit",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("statements", models.PositiveIntegerField()),
                ("touched", models.BigIntegerField()),
                ("sealed_content", models.BinaryField()),
                (
                    "run",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="held_commit",
                        to="sessions_app.commandrun",
                    ),
                ),
            ],
            options={
                "default_permissions": (),
            },
        ),
    ]
