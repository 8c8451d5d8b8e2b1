"""Pages of what one decided find reviews, too."""

from __future__ import annotations

from django.db import migrations, models


class Migration(migrations.Migration):
    """An index of the few grants that were reviewed, by who did."""

    dependencies = [("sessions_app", "0008_sent_once")]
    operations = [
        migrations.AddIndex(
            model_name="grant",
            index=models.Index(
                condition=models.Q(("reviewed_by__isnull", False)),
                fields=["reviewed_by", "-reviewed_at"],
                name="grant_reviewed",
            ),
        ),
    ]
