"""Indexes by which pages find few rows among very many."""

from __future__ import annotations

from django.db import migrations, models


class Migration(migrations.Migration):
    """Grants that are not over, refused commands, and tickets by how they begin."""

    dependencies = [("sessions_app", "0006_timeline")]

    operations = [
        migrations.AddIndex(
            model_name="grant",
            index=models.Index(
                condition=models.Q(("state", "ended"), _negated=True), fields=["cluster"], name="grant_alive"
            ),
        ),
        migrations.AddIndex(
            model_name="commandrun",
            index=models.Index(
                condition=models.Q(("state", "refused")), fields=["grant"], name="run_refused"
            ),
        ),
        # In SQL, because Django names this operator class only with an application of its own for PostgreSQL.
        migrations.RunSQL(
            "CREATE INDEX request_of_ticket ON sessions_app_accessrequest (upper(ticket) text_pattern_ops)"
            " WHERE ticket <> ''",
            "DROP INDEX request_of_ticket",
        ),
    ]
