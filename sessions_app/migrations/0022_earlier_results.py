"""What later calls of a grant depend on: the values that calls returned, which calls were untrusted, and which
were allowed for the rest of the grant.
"""

from __future__ import annotations

import django.db.models.deletion
from django.db import migrations, models
from django.db.models import Q


class Migration(migrations.Migration):
    """A table of digests, and three columns of runs."""

    dependencies = [("sessions_app", "0021_watches")]

    operations = [
        migrations.AddField(
            model_name="commandrun",
            name="untrusted",
            field=models.BooleanField(db_default=False, default=False),
        ),
        migrations.AddField(
            model_name="commandrun",
            name="notes",
            field=models.TextField(blank=True, db_default=""),
        ),
        migrations.AddField(
            model_name="commandrun",
            name="allowed_for_grant",
            field=models.BooleanField(db_default=False, default=False),
        ),
        migrations.AddIndex(
            model_name="commandrun",
            index=models.Index(fields=["grant"], condition=Q(untrusted=True), name="run_untrusted"),
        ),
        migrations.CreateModel(
            name="ReturnedValue",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("digest", models.BinaryField()),
                ("at", models.DateTimeField()),
                (
                    "grant",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="+",
                        to="sessions_app.grant",
                    ),
                ),
                (
                    "run",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="+",
                        to="sessions_app.commandrun",
                    ),
                ),
            ],
            options={
                "default_permissions": (),
                "constraints": [
                    models.UniqueConstraint(fields=("grant", "digest"), name="returned_once_per_grant")
                ],
            },
        ),
    ]
