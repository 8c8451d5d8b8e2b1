"""Who somebody of the identity provider is here."""

import django.db.models.deletion
import django.db.models.functions.datetime
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    """Links to the identity provider."""

    dependencies = [
        ("accounts", "0040_device_flow"),
    ]

    operations = [
        migrations.CreateModel(
            name="ProviderLink",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("issuer", models.CharField(max_length=300)),
                ("subject", models.CharField(max_length=255)),
                ("email", models.CharField(max_length=254)),
                ("linked_at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                (
                    "identity",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="provider_links",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={
                "default_permissions": (),
                "constraints": [
                    models.UniqueConstraint(fields=("issuer", "subject"), name="provider_link_one_identity"),
                    models.UniqueConstraint(fields=("issuer", "identity"), name="provider_link_one_subject"),
                ],
            },
        ),
    ]
