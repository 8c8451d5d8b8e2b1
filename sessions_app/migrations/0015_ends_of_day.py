"""How long the ends of each day took to be proven."""

from django.db import migrations, models


class Migration(migrations.Migration):
    """Create the table."""

    dependencies = [
        ("sessions_app", "0014_stored_recordings"),
    ]

    operations = [
        migrations.CreateModel(
            name="EndsOfDay",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("day", models.DateField()),
                (
                    "cause",
                    models.CharField(
                        choices=[("deadline", "Deadlines"), ("revoke", "Revocations")], max_length=8
                    ),
                ),
                ("total", models.PositiveBigIntegerField()),
                ("late", models.PositiveBigIntegerField()),
                ("longest", models.FloatField()),
                ("buckets", models.JSONField(default=dict)),
            ],
            options={
                "default_permissions": (),
                "constraints": [
                    models.UniqueConstraint(fields=("day", "cause"), name="ends_of_day_once_per_cause")
                ],
            },
        ),
    ]
