"""A notice that can't be mailed is given up, and mail is a matter of its own: no sweep looks for it."""

from __future__ import annotations

from importlib import import_module

from django.db import migrations, models
from django.db.models import Q

LOOK = """
CREATE OR REPLACE FUNCTION sweep_look(p_now timestamptz, p_name text) RETURNS text[] LANGUAGE sql STABLE AS $body$
    SELECT array_remove(ARRAY[
        CASE WHEN NOT EXISTS (SELECT FROM sessions_app_sweeper
            WHERE name = p_name AND seen_at > p_now - interval '5 seconds') THEN 'seen' END,
        CASE WHEN EXISTS (SELECT FROM audit_backlog) THEN 'record' END,
        CASE WHEN EXISTS (SELECT FROM sessions_app_grant
            WHERE state IN ('scheduled', 'provisioning', 'active') AND expires_at <= p_now) THEN 'ends' END,
        CASE WHEN EXISTS (SELECT FROM sessions_app_grant
            WHERE state = 'active' AND beat_before <= p_now) THEN 'silent' END,
        CASE WHEN EXISTS (SELECT FROM sessions_app_grant
            WHERE state IN ('scheduled', 'provisioning') AND starts_at <= p_now
              AND (next_attempt_at IS NULL OR next_attempt_at <= p_now)) THEN 'starts' END,
        CASE WHEN EXISTS (SELECT FROM sessions_app_grant
            WHERE state = 'revoking' AND next_attempt_at <= p_now) THEN 'undo' END,
        CASE WHEN EXISTS (SELECT FROM sessions_app_accessrequest
            WHERE state = 'pending' AND lapses_at <= p_now) THEN 'lapses' END,
        CASE WHEN EXISTS (SELECT FROM sessions_app_commandrun
            WHERE state = 'held' AND hold_lapses_at <= p_now) THEN 'holds' END,
        CASE WHEN EXISTS (SELECT FROM sessions_app_grant
            WHERE break_glass AND reviewed_at IS NULL AND review_due_at <= p_now
              AND review_escalated_at IS NULL) THEN 'reviews' END
    ], NULL)
$body$;
"""

_SWEEP = import_module("sessions_app.migrations.0002_guards").SWEEP
BEFORE = "CREATE OR REPLACE" + _SWEEP[_SWEEP.index(" FUNCTION sweep_look") :]


class Migration(migrations.Migration):
    """Why and when, and the look without mail."""

    dependencies = [("sessions_app", "0006_grant_without_version_index")]
    operations = [
        migrations.AddField(
            model_name="notice",
            name="last_error",
            field=models.TextField(blank=True, db_default="", default=""),
        ),
        migrations.AddField(
            model_name="notice", name="given_up_at", field=models.DateTimeField(blank=True, null=True)
        ),
        migrations.AddIndex(
            model_name="notice",
            index=models.Index(
                condition=Q(given_up_at__isnull=False),
                fields=["identity", "given_up_at"],
                name="notice_given_up",
            ),
        ),
        migrations.RunSQL(LOOK, BEFORE),
    ]
