"""Calls what names a grant's processes and objects on its targets their mark: a token opens something."""

from __future__ import annotations

from django.db import migrations, models


class Migration(migrations.Migration):
    """Triggers that compare the column follow its name by themselves."""

    dependencies = [("sessions_app", "0017_sweep_by_index")]
    operations = [
        migrations.RemoveConstraint(model_name="grant", name="grant_token_once"),
        migrations.RemoveConstraint(model_name="drift", name="drift_once"),
        migrations.RenameField(model_name="grant", old_name="token", new_name="mark"),
        migrations.RenameField(model_name="drift", old_name="token", new_name="mark"),
        migrations.AddConstraint(
            model_name="grant", constraint=models.UniqueConstraint(fields=("mark",), name="grant_mark_once")
        ),
        migrations.AddConstraint(
            model_name="drift",
            constraint=models.UniqueConstraint(
                condition=models.Q(("gone_at__isnull", True)),
                fields=("target", "kind", "mark"),
                name="drift_once",
            ),
        ),
    ]
