"""Where recordings are in the object store, each under a key of its own."""

from __future__ import annotations

from django.db import migrations, models
from django.db.models import Q


class Migration(migrations.Migration):
    """The table of stored recordings."""

    dependencies = [("sessions_app", "0013_claims")]

    operations = [
        migrations.CreateModel(
            name="StoredRecording",
            fields=[
                (
                    "run",
                    models.OneToOneField(
                        "sessions_app.commandrun", primary_key=True, on_delete=models.PROTECT, related_name="stored_as",
                        serialize=False,
                    ),
                ),
                ("object", models.CharField(blank=True, max_length=100)),
                ("sealed_key", models.BinaryField(default=b"")),
                ("file_bytes", models.BigIntegerField(default=0)),
                ("waits_since", models.DateTimeField()),
                ("stored_at", models.DateTimeField(blank=True, null=True)),
            ],
            options={
                "default_permissions": (),
                "indexes": [
                    models.Index(
                        fields=["waits_since"], condition=Q(stored_at__isnull=True), name="recording_waits"
                    ),
                    models.Index(fields=["object"], name="recording_object"),
                ],
            },
        )
    ]  # fmt: skip
