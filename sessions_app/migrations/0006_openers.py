"""Who opened a workflow and who last changed it, as its source names them.

Whom a source first named as the opener stays: otherwise, whoever can edit that there could become somebody else.
"""

from __future__ import annotations

from django.db import migrations, models

GUARD = """
CREATE TRIGGER stint_workflow_openers_stay BEFORE UPDATE ON sessions_app_workflow FOR EACH ROW
    WHEN (OLD.named_openers <> '[]'::jsonb AND NEW.named_openers IS DISTINCT FROM OLD.named_openers)
    EXECUTE FUNCTION stint_refuse('Who opened a workflow never changes.');
"""
REMOVE = "DROP TRIGGER stint_workflow_openers_stay ON sessions_app_workflow;"


class Migration(migrations.Migration):
    """Openers."""

    dependencies = [("sessions_app", "0005_questions")]
    operations = [
        migrations.AddField(
            "workflow",
            "named_openers",
            models.JSONField(db_default=models.Value([], models.JSONField()), default=list),
        ),
        migrations.AddField("workflow", "named_changers", models.JSONField(default=None, null=True)),
        migrations.RunSQL(GUARD, REMOVE),
    ]
