"""What was run on databases, read back."""

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    """Which run is which statement of a lease."""

    dependencies = [
        ("sessions_app", "0020_http_credentials"),
    ]

    operations = [
        migrations.CreateModel(
            name="ReadStatement",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("key", models.CharField(max_length=100)),
                (
                    "lease",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="statements",
                        to="sessions_app.lease",
                    ),
                ),
                (
                    "run",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="read_as",
                        to="sessions_app.commandrun",
                    ),
                ),
            ],
            options={
                "default_permissions": (),
                "constraints": [
                    models.UniqueConstraint(fields=("lease", "key"), name="statement_once_per_lease")
                ],
            },
        ),
    ]
