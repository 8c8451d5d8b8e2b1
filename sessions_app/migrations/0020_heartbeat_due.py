"""Calls the moment by which a grant's next heartbeat must have come what it is: beat is the name of Celery's scheduler."""

from __future__ import annotations

from importlib import import_module

from django.db import migrations, models

BEFORE = import_module("sessions_app.migrations.0017_sweep_by_index").LOOK
LOOK = BEFORE.replace("beat_before", "heartbeat_due_at")


class Migration(migrations.Migration):
    """The function that finds due grants names the column in its text."""

    dependencies = [("sessions_app", "0019_workflow_addresses")]
    operations = [
        # The last of the way back: the function can be made when the column has its old name again.
        migrations.RunSQL(migrations.RunSQL.noop, BEFORE),
        migrations.RemoveIndex(model_name="grant", name="grant_to_beat"),
        migrations.RenameField(model_name="grant", old_name="beat_before", new_name="heartbeat_due_at"),
        migrations.AddIndex(
            model_name="grant",
            index=models.Index(
                condition=models.Q(("heartbeat_due_at__isnull", False), ("state", "active")),
                fields=["heartbeat_due_at"],
                name="grant_heartbeat_due",
            ),
        ),
        migrations.RunSQL(LOOK, migrations.RunSQL.noop),
    ]
