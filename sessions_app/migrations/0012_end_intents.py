"""Ends that take effect while others have the rows of their grants locked.

- ``sessions_app_endintent``: one row for each grant that such an end concerns, those delegated from it included, until its own row has
  followed. It is announced like a change of the grant, and never changed.
- ``stint_lock_to_end``: locks grants and all that were delegated from them, as far as it can within a time, and returns the ids of
  those that it has locked.
- ``stint_usable_until`` is as before, and a grant with such an end is not usable. ``stint_requests_allowed`` is as before, and
  leaves out requests of such grants, which it may be told before the end and write down after it.
"""

from __future__ import annotations

import importlib

import django.db.models.deletion
import django.db.models.functions.datetime
from django.conf import settings
from django.db import migrations, models

REASONS = [
    ("expired", "Expired"),
    ("released", "Ended by the holder"),
    ("revoked", "Revoked"),
    ("workflow_closed", "Workflow closed"),
    ("policy_changed", "Policy changed"),
    ("identity_disabled", "Holder disabled"),
    ("provision_failed", "Could not be started"),
    ("cluster_removed", "Cluster removed"),
    ("deviation", "Too many refused commands"),
    ("silent", "Heartbeat missed"),
    ("parent_ended", "Parent grant ended"),
    ("restored", "Database restored from a backup"),
]

ANNOUNCED = """
CREATE FUNCTION stint_end_intended() RETURNS trigger LANGUAGE plpgsql AS $body$
BEGIN
    PERFORM stint_announce('stint_grant', (SELECT array_agg(n.grant_id) FROM new_rows n));
    RETURN NULL;
END
$body$;
CREATE TRIGGER stint_end_intended AFTER INSERT ON sessions_app_endintent
    REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION stint_end_intended();
CREATE TRIGGER stint_end_intent_fixed BEFORE UPDATE ON sessions_app_endintent
    FOR EACH ROW EXECUTE FUNCTION stint_refuse('What someone ended stays so.');
"""

LOCK = """
CREATE FUNCTION stint_lock_to_end(p_grants bigint[], p_patience interval) RETURNS bigint[] LANGUAGE plpgsql AS $body$
DECLARE
    v_until timestamptz := clock_timestamp() + p_patience;
    v_open bigint[] := p_grants;
    v_done bigint[];
    v_locked bigint[] := '{}';
BEGIN
    LOOP
        -- Not in a queue: with those that have the row, and those that wait for it before us, no wait would have a limit.
        v_done := ARRAY(
            SELECT id FROM sessions_app_grant WHERE id = ANY(v_open) AND state <> 'ended'
             ORDER BY id FOR NO KEY UPDATE SKIP LOCKED);
        v_locked := v_locked || v_done;
        -- One that is over may have one below it that still lets commands finish.
        v_done := v_done || ARRAY(SELECT id FROM sessions_app_grant WHERE id = ANY(v_open) AND state = 'ended');
        -- Delegating locks the grant that is delegated from, so all below those that are done can be seen now.
        v_open := ARRAY(
            SELECT o.id FROM unnest(v_open) AS o (id) WHERE o.id <> ALL(v_done)
            UNION
            SELECT g.id FROM sessions_app_grant g WHERE g.parent_id = ANY(v_done) AND g.id <> ALL(v_locked));
        EXIT WHEN v_open = '{}';
        IF v_done = '{}' THEN
            EXIT WHEN clock_timestamp() >= v_until;
            PERFORM pg_sleep(0.004);
        END IF;
    END LOOP;
    RETURN v_locked;
END
$body$;
"""

_TREES = importlib.import_module("sessions_app.migrations.0008_trees").TREES
_BEFORE = _TREES[_TREES.index("CREATE FUNCTION stint_usable_until") :].replace(
    "CREATE FUNCTION", "CREATE OR REPLACE FUNCTION"
)
_USABLE = "g.state = 'active' AND g.held_at IS NULL"
_ENDING = "NOT EXISTS (SELECT FROM sessions_app_endintent e WHERE e.grant_id = {})"
USABLE = _BEFORE.replace(_USABLE, f"{_USABLE} AND {_ENDING.format('g.id')}")

_ALLOWED = importlib.import_module("sessions_app.migrations.0005_questions").REQUESTS.replace(
    "CREATE FUNCTION", "CREATE OR REPLACE FUNCTION"
)
_VALID = "x.until > clock_timestamp()"
ALLOWED = _ALLOWED.replace(_VALID, f"{_VALID} AND {_ENDING.format('x.grant_id')}")

REMOVE = """
DROP FUNCTION stint_lock_to_end;
DROP TRIGGER stint_end_intent_fixed ON sessions_app_endintent;
DROP TRIGGER stint_end_intended ON sessions_app_endintent;
DROP FUNCTION stint_end_intended;
"""


class Migration(migrations.Migration):
    """A table, three functions and what is announced."""

    dependencies = [
        ("sessions_app", "0011_run_states"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]
    operations = [
        migrations.CreateModel(
            "EndIntent",
            [
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("at", models.DateTimeField()),
                ("made_at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ("reason", models.CharField(choices=REASONS, max_length=20)),
                ("note", models.TextField(blank=True)),
                ("cut", models.BooleanField()),
                (
                    "by",
                    models.ForeignKey(
                        db_index=False, null=True, on_delete=django.db.models.deletion.PROTECT, related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "grant",
                    models.ForeignKey(
                        db_constraint=False, on_delete=django.db.models.deletion.PROTECT, related_name="end_intents",
                        to="sessions_app.grant",
                    ),
                ),
            ],
            options={"ordering": ["pk"], "default_permissions": ()},
        ),
        migrations.RunSQL(ANNOUNCED + LOCK + USABLE + ALLOWED, _ALLOWED + _BEFORE + REMOVE),
    ]  # fmt: skip
