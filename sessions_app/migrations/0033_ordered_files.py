"""Files on their way between browsers and gateways."""

from __future__ import annotations

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

_ID = models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")


class Migration(migrations.Migration):
    """Two tables. The next migration adds the constraints of their rows."""

    dependencies = [("sessions_app", "0032_purge_with_grants")]

    operations = [
        migrations.CreateModel(
            name="OrderedFile",
            fields=[
                ("id", _ID.clone()),
                ("direction", models.CharField(max_length=4)),
                ("path", models.TextField()),
                ("sealed_key", models.BinaryField()),
                ("size", models.BigIntegerField(default=0)),
                ("sha256", models.CharField(blank=True, max_length=64)),
                ("complete_at", models.DateTimeField(null=True)),
                ("taken_at", models.DateTimeField(null=True)),
                ("kept_until", models.DateTimeField(db_index=True)),
                (
                    "grant",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="sessions_app.grant",
                    ),
                ),
                (
                    "holder",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "order",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="file",
                        to="sessions_app.commandorder",
                    ),
                ),
            ],
            options={"default_permissions": ()},
        ),
        migrations.CreateModel(
            name="FilePiece",
            fields=[
                ("id", _ID.clone()),
                ("number", models.PositiveIntegerField()),
                ("sealed", models.BinaryField()),
                (
                    "file",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="pieces",
                        to="sessions_app.orderedfile",
                    ),
                ),
            ],
            options={
                "default_permissions": (),
                "constraints": [models.UniqueConstraint(fields=("file", "number"), name="piece_once")],
            },
        ),
    ]
