"""Who suspended a grant, and why.

- ``stint_grant_changed``: also announces that a grant was suspended or resumed.
- ``stint_live_until``: as ``stint_usable_until``, but a suspended grant counts. Under it, what runs may continue.
"""

from __future__ import annotations

import importlib

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

_USABLE = importlib.import_module("sessions_app.migrations.0012_end_intents").USABLE
_CHANGED = """
CREATE OR REPLACE FUNCTION stint_grant_changed() RETURNS trigger LANGUAGE plpgsql AS $body$
BEGIN
    PERFORM stint_announce('stint_grant', (
        SELECT array_agg(n.id) FROM new_rows n JOIN old_rows o ON o.id = n.id
         WHERE n.state <> o.state OR n.expires_at <> o.expires_at
            OR n.finish_until IS DISTINCT FROM o.finish_until%s));
    RETURN NULL;
END
$body$;
"""
LIVE = _USABLE.replace("stint_usable_until", "stint_live_until").replace(" AND g.held_at IS NULL", "")


class Migration(migrations.Migration):
    """Two columns of grants, and two functions."""

    dependencies = [
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
        ("sessions_app", "0025_notices_of_what"),
    ]

    operations = [
        migrations.AddField(
            model_name="grant",
            name="held_by",
            field=models.ForeignKey(
                db_index=False,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to=settings.AUTH_USER_MODEL,
            ),
        ),
        migrations.AddField(
            model_name="grant",
            name="held_note",
            field=models.TextField(blank=True, db_default=""),
        ),
        migrations.RunSQL(LIVE, "DROP FUNCTION stint_live_until"),
        migrations.RunSQL(_CHANGED % " OR n.held_at IS DISTINCT FROM o.held_at", _CHANGED % ""),
    ]
