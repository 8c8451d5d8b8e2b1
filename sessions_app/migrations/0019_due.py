"""Removes the function that said what is due: sweeps send the statement itself, which is planned once."""

from __future__ import annotations

from importlib import import_module

from django.db import migrations

_before = import_module("sessions_app.migrations.0004_sweep").ENDS


class Migration(migrations.Migration):
    """What is due."""

    dependencies = [("sessions_app", "0018_labels")]
    operations = [
        migrations.RunSQL(
            "DROP FUNCTION sweep_look(timestamptz, text)",
            _before[_before.index("CREATE FUNCTION sweep_look") :],
        )
    ]
