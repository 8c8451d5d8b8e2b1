"""Labels kinds and states as pages do. The columns do not change."""

from __future__ import annotations

from django.db import migrations, models


class Migration(migrations.Migration):
    """Labels of choices, which the database doesn't store."""

    dependencies = [("sessions_app", "0017_retention")]

    operations = [
        migrations.AlterField(
            "accessrequest",
            "kind",
            models.CharField(
                choices=[
                    ("planned", "Planned"),
                    ("quick", "Quick look"),
                    ("incident", "Incident"),
                    ("break_glass", "Break-glass access"),
                    ("extension", "Extension"),
                    ("delegation", "Delegation"),
                ],
                default="planned",
                max_length=12,
            ),
        ),
        migrations.AlterField(
            "accessrequest",
            "state",
            models.CharField(
                choices=[
                    ("pending", "Pending"),
                    ("approved", "Approved"),
                    ("denied", "Denied"),
                    ("withdrawn", "Withdrawn"),
                    ("lapsed", "Expired"),
                ],
                default="pending",
                max_length=10,
            ),
        ),
        migrations.AlterField(
            "proposal",
            "state",
            models.CharField(
                choices=[
                    ("pending", "Pending"),
                    ("published", "Published"),
                    ("refused", "Denied"),
                    ("withdrawn", "Withdrawn"),
                    ("lapsed", "Expired"),
                ],
                default="pending",
                max_length=10,
            ),
        ),
    ]
