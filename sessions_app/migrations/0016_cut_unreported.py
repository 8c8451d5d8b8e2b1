"""Runs that were cut without a word of their recording are found by an index."""

from django.db import migrations, models


class Migration(migrations.Migration):
    """One index, which has few rows."""

    dependencies = [("sessions_app", "0015_document_versions")]

    operations = [
        migrations.AddIndex(
            "commandrun",
            models.Index(
                fields=["ended_at"],
                condition=models.Q(("recording", ""), ("state", "cut")),
                name="run_cut_unreported",
            ),
        ),
    ]
