"""A form that is sent twice asks once."""

from __future__ import annotations

from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    """What names one sending, and that it makes one request."""

    dependencies = [
        ("sessions_app", "0007_pages"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]
    operations = [
        migrations.AddField(
            model_name="accessrequest",
            name="once",
            field=models.CharField(blank=True, db_default="", default="", max_length=64),
        ),
        migrations.AddConstraint(
            model_name="accessrequest",
            constraint=models.UniqueConstraint(
                condition=models.Q(("once", ""), _negated=True),
                fields=("requester", "once"),
                name="request_once_per_sending",
            ),
        ),
    ]
