"""What sentences said, as a state of commands and a field of workflows: a withdrawn command, and a source that failed for a workflow."""

from __future__ import annotations

from django.db import migrations, models

STATES = [
    ("refused", "Refused"),
    ("held", "Held"),
    ("hold_denied", "Hold Denied"),
    ("hold_lapsed", "Hold Lapsed"),
    ("withdrawn", "Hold Withdrawn"),
    ("allowed", "Allowed"),
    ("running", "Running"),
    ("done", "Done"),
    ("cut", "Cut"),
    ("failed", "Failed"),
]
# A command that was held and never ran can have this reason only from its holder. A closed workflow never changes, and is not asked about.
CARRY_OVER = """
UPDATE sessions_app_commandrun SET state = 'withdrawn'
 WHERE state = 'cut' AND reason = 'withdrawn by its holder' AND hold_lapses_at IS NOT NULL AND started_at IS NULL;
UPDATE sessions_app_workflow SET read_failed = true
 WHERE state = 'open' AND read_error LIKE 'It gave no status: %';
"""
BACK = """
UPDATE sessions_app_commandrun SET state = 'cut', reason = 'withdrawn by its holder' WHERE state = 'withdrawn';
"""


class Migration(migrations.Migration):
    """A state and a field, with the rows that have them."""

    dependencies = [("sessions_app", "0010_people_without_address")]
    operations = [
        migrations.AlterField("commandrun", "state", models.CharField(choices=STATES, max_length=12)),
        migrations.AddField("workflow", "read_failed", models.BooleanField(db_default=False, default=False)),
        migrations.AlterField("drift", "grant_ref", models.CharField(blank=True, max_length=16)),
        migrations.RunSQL(CARRY_OVER, BACK),
    ]
