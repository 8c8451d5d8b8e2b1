"""Grants that were delegated from others, and grants that need a heartbeat."""

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

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
              AND review_escalated_at IS NULL) THEN 'reviews' END,
        CASE WHEN EXISTS (SELECT FROM sessions_app_notice
            WHERE mailed_at IS NULL AND next_attempt_at IS NOT NULL AND next_attempt_at <= p_now) THEN 'notices' END
    ], NULL)
$body$;
"""

LOOKED = """
CREATE OR REPLACE FUNCTION sweep_look(p_now timestamptz, p_name text) RETURNS text[] LANGUAGE sql STABLE AS $body$
    SELECT array_remove(ARRAY[
        CASE WHEN NOT EXISTS (SELECT FROM sessions_app_sweeper
            WHERE name = p_name AND seen_at > p_now - interval '5 seconds') THEN 'seen' END,
        CASE WHEN EXISTS (SELECT FROM audit_backlog) THEN 'record' END,
        CASE WHEN EXISTS (SELECT FROM sessions_app_grant
            WHERE state IN ('scheduled', 'provisioning', 'active') AND expires_at <= p_now) THEN 'ends' END,
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
              AND review_escalated_at IS NULL) THEN 'reviews' END,
        CASE WHEN EXISTS (SELECT FROM sessions_app_notice
            WHERE mailed_at IS NULL AND next_attempt_at IS NOT NULL AND next_attempt_at <= p_now) THEN 'notices' END
    ], NULL)
$body$;
"""

FIXED = """
CREATE TRIGGER stint_grant_parent_fixed BEFORE UPDATE ON sessions_app_grant FOR EACH ROW
    WHEN ((OLD.parent_id, OLD.heartbeat_seconds) IS DISTINCT FROM (NEW.parent_id, NEW.heartbeat_seconds))
    EXECUTE FUNCTION stint_refuse('What was approved about a grant never changes.');
CREATE TRIGGER stint_request_parent_fixed BEFORE UPDATE ON sessions_app_accessrequest FOR EACH ROW
    WHEN (OLD.parent_id IS DISTINCT FROM NEW.parent_id)
    EXECUTE FUNCTION stint_refuse('What was asked for never changes; withdraw the request and ask again.');
"""

FREE = """
DROP TRIGGER stint_grant_parent_fixed ON sessions_app_grant;
DROP TRIGGER stint_request_parent_fixed ON sessions_app_accessrequest;
"""


class Migration(migrations.Migration):
    """Parents and heartbeats, both fixed as what was approved is, and one more thing that the sweep looks for."""

    dependencies = [
        ("sessions_app", "0040_trust_policies"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.AddField(
            model_name="accessrequest",
            name="parent",
            field=models.ForeignKey(
                blank=True,
                db_index=False,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="sessions_app.grant",
            ),
        ),
        migrations.AddField(
            model_name="grant",
            name="beat_before",
            field=models.DateTimeField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name="grant",
            name="heartbeat_seconds",
            field=models.PositiveIntegerField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name="grant",
            name="parent",
            field=models.ForeignKey(
                blank=True,
                db_index=False,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="children",
                to="sessions_app.grant",
            ),
        ),
        migrations.AlterField(
            model_name="accessrequest",
            name="kind",
            field=models.CharField(
                choices=[
                    ("planned", "Planned work"),
                    ("quick", "A quick look"),
                    ("incident", "An incident"),
                    ("break_glass", "Break glass"),
                    ("extension", "Extension"),
                    ("delegation", "Delegation"),
                ],
                default="planned",
                max_length=12,
            ),
        ),
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
                ],
                max_length=20,
            ),
        ),
        migrations.AddIndex(
            model_name="grant",
            index=models.Index(
                condition=models.Q(("parent__isnull", False)), fields=["parent"], name="grant_of_parent"
            ),
        ),
        migrations.AddIndex(
            model_name="grant",
            index=models.Index(
                condition=models.Q(("beat_before__isnull", False), ("state", "active")),
                fields=["beat_before"],
                name="grant_to_beat",
            ),
        ),
        migrations.AddConstraint(
            model_name="accessrequest",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("kind", "delegation"), ("parent__isnull", False)),
                    models.Q(models.Q(("kind", "delegation"), _negated=True), ("parent__isnull", True)),
                    _connector="OR",
                ),
                name="request_delegation_names_grant",
            ),
        ),
        migrations.RunSQL(LOOK, LOOKED),
        migrations.RunSQL(FIXED, FREE),
    ]
