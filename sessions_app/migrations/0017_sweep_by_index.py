"""Lets a sweep find reviews that are due by their index.

The time that a function is given is unknown when its plan is made, and PostgreSQL then takes a third of all rows to be before
it, also where hardly any has a time at all, and reads the whole table. That a time is there has to be said.
"""

from __future__ import annotations

from importlib import import_module

from django.db import migrations

BEFORE = import_module("sessions_app.migrations.0012_restored").LOOK
LOOK = BEFORE.replace("WHERE reviewed_at IS NULL", "WHERE review_due_at IS NOT NULL AND reviewed_at IS NULL")


class Migration(migrations.Migration):
    """The look."""

    dependencies = [("sessions_app", "0016_cut_unreported"), ("audit", "0009_no_function_for_standing")]
    operations = [migrations.RunSQL(LOOK, BEFORE)]
