"""A sweep sees that the database was started or restored since it was compared with the checkpoints kept outside; grants end
when an older backup was restored.
"""

from __future__ import annotations

from importlib import import_module

from django.db import migrations, models

LOOK = """
CREATE OR REPLACE FUNCTION sweep_look(p_now timestamptz, p_name text) RETURNS text[] LANGUAGE sql STABLE AS $body$
    SELECT array_remove(ARRAY[
        CASE WHEN NOT EXISTS (SELECT FROM sessions_app_sweeper
            WHERE name = p_name AND seen_at > p_now - interval '5 seconds') THEN 'seen' END,
        CASE WHEN NOT EXISTS (SELECT FROM audit_standing
            WHERE log = 'main' AND incarnation = record_incarnation()) THEN 'standing' END,
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
            WHERE reviewed_at IS NULL AND review_due_at <= p_now
              AND review_escalated_at IS NULL) THEN 'reviews' END
    ], NULL)
$body$;
"""
BEFORE = import_module("sessions_app.migrations.0011_reviews").LOOK


class Migration(migrations.Migration):
    """The reason, and the look."""

    dependencies = [("sessions_app", "0011_reviews"), ("audit", "0008_standing")]
    operations = [
        migrations.AlterField(
            model_name="grant",
            name="end_reason",
            field=models.CharField(
                blank=True,
                choices=[
                    ("expired", "its time was over"),
                    ("released", "its holder ended it"),
                    ("revoked", "it was revoked"),
                    ("workflow_closed", "the work it was for is closed"),
                    ("policy_changed", "what it rests on changed"),
                    ("identity_disabled", "its holder was disabled"),
                    ("provision_failed", "it could not be started"),
                    ("cluster_removed", "its cluster was removed"),
                    ("deviation", "too much else was tried with it"),
                    ("silent", "its heartbeat stopped"),
                    ("parent_ended", "the grant that it was delegated from ended"),
                    ("restored", "an older backup of the database was restored"),
                ],
                max_length=20,
            ),
        ),
        migrations.RunSQL(LOOK, BEFORE),
    ]
