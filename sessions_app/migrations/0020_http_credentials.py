"""Tokens of grants over HTTP, proofs that were used, and counts of requests."""

import django.db.models.deletion
import django.db.models.functions.datetime
from django.db import migrations, models

# One call for all requests of a second: rows, counts and entries of the record are made where they are kept.
WRITE = """
CREATE FUNCTION stint_requests_allowed(p_now timestamptz, p_event text, p_actor text, p_rows jsonb) RETURNS void
LANGUAGE plpgsql AS $body$
DECLARE
    v_refs text[];
    v_datas jsonb[];
BEGIN
    WITH r AS MATERIALIZED (
        SELECT nextval(pg_get_serial_sequence('sessions_app_commandrun', 'id')) AS id, x.*
          FROM jsonb_to_recordset(p_rows) AS x (
              grant_id bigint, session_id bigint, target_id bigint, ref text, holder text, target text, line text,
              argv jsonb, command integer, effect text, times integer, first_at timestamptz, last_at timestamptz)
    ), run AS (
        INSERT INTO sessions_app_commandrun (id, grant_id, session_id, target_id, line, argv, command_index, effect, state,
            reason, tried_at, started_at, ended_at, signal, recording, recording_digest, output_bytes)
        SELECT id, grant_id, session_id, target_id, line, argv, command, effect, 'done', '', first_at, first_at, last_at,
               '', '', '', 0 FROM r
    ), counted AS (
        INSERT INTO sessions_app_requestcount (run_id, times, last_at) SELECT id, times, last_at FROM r
    )
    SELECT array_agg(ref ORDER BY id),
           array_agg(jsonb_build_object('run', id, 'session', session_id, 'target', target, 'holder', holder,
               'argv', argv, 'index', command, 'times', times, 'first_at', first_at, 'last_at', last_at) ORDER BY id)
      INTO v_refs, v_datas FROM r;
    PERFORM audit_append_many('main', p_now, p_event, p_actor, 'grant', v_refs, v_datas);
END
$body$;
"""


class Migration(migrations.Migration):
    """Three tables, and how requests are written down."""

    dependencies = [
        ("sessions_app", "0010_kinds_and_drift"),
    ]

    operations = [
        migrations.CreateModel(
            name="ProofUsed",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("digest", models.CharField(max_length=64)),
                ("expires_at", models.DateTimeField(db_index=True)),
            ],
            options={
                "default_permissions": (),
                "constraints": [models.UniqueConstraint(fields=("digest",), name="proof_used_once")],
            },
        ),
        migrations.CreateModel(
            name="RequestCount",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("times", models.PositiveIntegerField()),
                ("last_at", models.DateTimeField()),
                (
                    "run",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="count",
                        to="sessions_app.commandrun",
                    ),
                ),
            ],
            options={
                "default_permissions": (),
            },
        ),
        migrations.CreateModel(
            name="GrantCredential",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("digest", models.CharField(max_length=64)),
                ("jkt", models.CharField(blank=True, max_length=43)),
                ("created_at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ("expires_at", models.DateTimeField(blank=True, null=True)),
                ("revoked_at", models.DateTimeField(blank=True, null=True)),
                (
                    "grant",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="credentials",
                        to="sessions_app.grant",
                    ),
                ),
                (
                    "session",
                    models.ForeignKey(
                        db_index=False,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="sessions_app.session",
                    ),
                ),
            ],
            options={
                "default_permissions": (),
                "constraints": [
                    models.UniqueConstraint(fields=("digest",), name="credential_digest_once"),
                    models.UniqueConstraint(
                        condition=models.Q(("revoked_at__isnull", True)),
                        fields=("grant",),
                        name="credential_one_of_grant",
                    ),
                ],
            },
        ),
        migrations.RunSQL(WRITE, "DROP FUNCTION stint_requests_allowed"),
    ]
