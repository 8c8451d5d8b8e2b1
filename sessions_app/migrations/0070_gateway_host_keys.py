"""The keys that gateways prove themselves with."""

from django.db import migrations, models


class Migration(migrations.Migration):
    """What holders put into known_hosts."""

    dependencies = [
        ("sessions_app", "0002_guards"),
    ]

    operations = [
        migrations.AddField(
            model_name="gatewaynode",
            name="host_key",
            field=models.TextField(blank=True, default=""),
        ),
    ]
