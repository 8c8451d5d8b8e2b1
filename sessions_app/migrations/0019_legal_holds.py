"""Legal holds, and the retention that honors them."""

from __future__ import annotations

from importlib import import_module

import django.db.models.deletion
from django.apps.registry import Apps
from django.conf import settings
from django.db import migrations, models
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.models import F, Q

from broker.audit.migrations._schema import run

# Whether a hold covers a grant or request, what belongs to it, or something of a person at a time. Of the references and the
# person, what is not known can be null. The holds of an owner cover the owner's machines.
HELD = """
CREATE FUNCTION {schema}.stint_held(
    p_grant text, p_request integer, p_person bigint, p_from timestamptz, p_until timestamptz
) RETURNS boolean LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $body$
    SELECT EXISTS (
        SELECT FROM {schema}.sessions_app_legalhold h
         WHERE h.removed_at IS NULL
           AND (h.ref IN (p_grant, 'REQ-' || p_request)
                OR h.identity_id IN (p_person, (SELECT i.owner_id FROM {schema}.accounts_identity i WHERE i.id = p_person))
                OR (h.starts_at <= p_until AND h.ends_at > p_from)))
$body$;
"""
_RETENTION = import_module("sessions_app.migrations.0017_retention")


def _held(function: str, where: str, condition: str) -> str:
    """Return a function of retention with one more condition."""
    found = function.replace("CREATE FUNCTION", "CREATE OR REPLACE FUNCTION").replace(
        where, f"{where}\n           AND {condition}"
    )
    if found.count(condition) != 1:
        raise ValueError(where)
    return found


GRANTS = _held(
    _RETENTION.GRANTS,
    "WHERE g.state = 'ended' AND g.ended_at < p_before",
    "NOT {schema}.stint_held(g.ref, (SELECT q.number FROM {schema}.sessions_app_accessrequest q WHERE q.id = g.request_id),"
    " g.holder_id, g.created_at, g.ended_at)",
)
REQUESTS = _held(
    _RETENTION.REQUESTS,
    "AND coalesce(r.decided_at, r.lapses_at) < p_before",
    "NOT {schema}.stint_held(NULL, r.number, r.requester_id, r.created_at, coalesce(r.decided_at, r.lapses_at))",
)


def install(_apps: Apps, editor: BaseDatabaseSchemaEditor) -> None:
    """Make the function, and replace those of retention."""
    run(editor, HELD, GRANTS, REQUESTS)


def remove(_apps: Apps, editor: BaseDatabaseSchemaEditor) -> None:
    """Restore the functions of retention."""
    old = [
        one.replace("CREATE FUNCTION", "CREATE OR REPLACE FUNCTION")
        for one in (_RETENTION.GRANTS, _RETENTION.REQUESTS)
    ]
    run(editor, *old, "DROP FUNCTION {schema}.stint_held;")


class Migration(migrations.Migration):
    """Legal holds."""

    dependencies = [
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
        ("sessions_app", "0018_labels"),
    ]

    operations = [
        migrations.CreateModel(
            name="LegalHold",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("ref", models.CharField(blank=True, max_length=16)),
                ("starts_at", models.DateTimeField(blank=True, null=True)),
                ("ends_at", models.DateTimeField(blank=True, null=True)),
                ("reason", models.TextField()),
                ("created_at", models.DateTimeField()),
                ("removed_at", models.DateTimeField(blank=True, null=True)),
                (
                    "identity",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="legal_holds",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={"default_permissions": ()},
        ),
        migrations.AddConstraint(
            model_name="legalhold",
            constraint=models.CheckConstraint(
                condition=Q(ref__gt="", identity__isnull=True, starts_at__isnull=True, ends_at__isnull=True)
                | Q(ref="", identity__isnull=False, starts_at__isnull=True, ends_at__isnull=True)
                | Q(ref="", identity__isnull=True, starts_at__lt=F("ends_at")),
                name="legal_hold_covers_one_thing",
            ),
        ),
        migrations.RunPython(install, remove),
    ]
