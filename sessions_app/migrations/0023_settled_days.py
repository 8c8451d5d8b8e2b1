"""Adds the counts of settled days and an index of revocations, and makes ``stint_stands_behind`` follow a
grant's parents by their keys.

The function is as before. As a recursive query, PostgreSQL planned it anew at each place of each statement,
and each call took a tenth of a millisecond. Every page asks it about everything that may wait for its reader.
"""

from __future__ import annotations

from importlib import import_module

import django.db.models.deletion
from django.db import migrations, models

_BEFORE: str = import_module("sessions_app.migrations.0010_people_without_address").STANDS_BEHIND

STANDS_BEHIND = """
CREATE OR REPLACE FUNCTION stint_stands_behind(p_grant bigint, p_person text) RETURNS boolean LANGUAGE plpgsql STABLE AS $body$
DECLARE
    looked_at bigint := p_grant;
    above bigint;
    persons text[];
BEGIN
    WHILE looked_at IS NOT NULL LOOP
        SELECT g.parent_id, ARRAY[holder.person, owner.person] INTO above, persons
          FROM sessions_app_grant g
          JOIN accounts_identity holder ON holder.id = g.holder_id
          LEFT JOIN accounts_identity owner ON owner.id = holder.owner_id
         WHERE g.id = looked_at;
        IF persons && ARRAY[p_person, ''] THEN
            RETURN true;
        END IF;
        looked_at := above;
    END LOOP;
    RETURN false;
END
$body$;
"""


class Migration(migrations.Migration):
    """The counts of settled days, and who stands behind a grant."""

    dependencies = [("sessions_app", "0022_earlier_results")]
    operations = [
        migrations.RunSQL(STANDS_BEHIND, _BEFORE),
        migrations.CreateModel(
            name="SettledCount",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("slot", models.DateTimeField()),
                ("grants", models.PositiveIntegerField(db_default=0, default=0)),
                ("break_glass", models.PositiveIntegerField(db_default=0, default=0)),
                ("to_review", models.PositiveIntegerField(db_default=0, default=0)),
                ("ended", models.PositiveIntegerField(db_default=0, default=0)),
                ("unused", models.PositiveIntegerField(db_default=0, default=0)),
                ("requests", models.PositiveIntegerField(db_default=0, default=0)),
                ("expired", models.PositiveIntegerField(db_default=0, default=0)),
                ("refused", models.PositiveIntegerField(db_default=0, default=0)),
            ],
            options={
                "default_permissions": (),
            },
        ),
        migrations.CreateModel(
            name="SettledDay",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("day", models.DateField()),
                (
                    "kind",
                    models.CharField(
                        choices=[("grants", "Grants"), ("requests", "Requests"), ("refusals", "Refusals")],
                        max_length=8,
                    ),
                ),
            ],
            options={
                "default_permissions": (),
            },
        ),
        migrations.AddIndex(
            model_name="grant",
            index=models.Index(
                condition=models.Q(("state", "ended"), models.Q(("end_reason", "expired"), _negated=True)),
                fields=["ended_at"],
                name="grant_revoked",
            ),
        ),
        migrations.AddField(
            model_name="settledcount",
            name="cluster",
            field=models.ForeignKey(
                db_index=False,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="sessions_app.cluster",
            ),
        ),
        migrations.AddField(
            model_name="settledcount",
            name="policy",
            field=models.ForeignKey(
                db_index=False,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="sessions_app.accesspolicy",
            ),
        ),
        migrations.AddConstraint(
            model_name="settledday",
            constraint=models.UniqueConstraint(fields=("day", "kind"), name="settled_day_once_per_kind"),
        ),
        migrations.AddConstraint(
            model_name="settledcount",
            constraint=models.UniqueConstraint(
                fields=("slot", "cluster", "policy"), name="settled_count_once_per_slot"
            ),
        ),
    ]
