"""Tables in which attempts to guess are counted. The table of the cache, whose rows were unpickled, goes."""

from __future__ import annotations

from typing import ClassVar

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    """Counts of attempts, and usual addresses."""

    dependencies: ClassVar = [("accounts", "0002_shared_cache")]
    operations: ClassVar = [
        migrations.RunSQL("DROP TABLE IF EXISTS stint_cache", migrations.RunSQL.noop),
        migrations.CreateModel(
            name="AttemptCount",
            fields=[
                ("subject", models.CharField(max_length=64, primary_key=True, serialize=False)),
                ("until", models.DateTimeField(db_index=True)),
            ],
            options={"default_permissions": ()},
        ),
        migrations.CreateModel(
            name="UsualAddress",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("source", models.CharField(max_length=64)),
                ("until", models.DateTimeField(db_index=True)),
                (
                    "identity",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={
                "default_permissions": (),
                "constraints": [
                    models.UniqueConstraint(fields=("identity", "source"), name="usual_address_once")
                ],
            },
        ),
    ]
