"""The account of a target is what its document says; the kind of its cluster knows the usual one."""

from __future__ import annotations

from django.db import migrations, models


class Migration(migrations.Migration):
    """No row changes."""

    dependencies = [("sessions_app", "0007_notice_given_up")]
    operations = [migrations.AlterField("target", "account", models.CharField(blank=True, max_length=32))]
