"""A review is due of whatever began without approval, and not of broken glass alone."""

from __future__ import annotations

from importlib import import_module

from django.db import migrations, models

BEFORE = import_module("sessions_app.migrations.0007_notice_given_up").LOOK
LOOK = BEFORE.replace("WHERE break_glass AND reviewed_at IS NULL", "WHERE reviewed_at IS NULL")


class Migration(migrations.Migration):
    """One index, and the look of the sweep by it."""

    dependencies = [("sessions_app", "0010_stands_behind")]
    operations = [
        migrations.RemoveIndex("grant", "grant_to_review"),
        migrations.AddIndex(
            "grant",
            models.Index(
                fields=["review_due_at"],
                condition=models.Q(review_due_at__isnull=False, reviewed_at__isnull=True),
                name="grant_to_review",
            ),
        ),
        migrations.RunSQL(LOOK, BEFORE),
    ]
