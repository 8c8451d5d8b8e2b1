"""A notice may be mailed to the address that was its reader's until now."""

from __future__ import annotations

from django.db import migrations, models


class Migration(migrations.Migration):
    """One more address."""

    dependencies = [("sessions_app", "0004_renewed_claims")]
    operations = [
        migrations.AddField(
            model_name="notice",
            name="also_to",
            field=models.EmailField(
                blank=True, db_default="", default="", max_length=254, verbose_name="also mailed to"
            ),
        ),
    ]
