"""Makes the place in which it stands whether the record was compared with the checkpoints that are kept outside.

A restored database is another one: its tables, or the server's start, are others than when it was compared last. So what a
backup says of itself counts for nothing until the comparison was made again.
"""

from __future__ import annotations

from django.db import migrations, models

MAKE = """
CREATE FUNCTION record_incarnation() RETURNS text LANGUAGE sql STABLE AS $body$
    SELECT concat_ws('/', extract(epoch FROM pg_postmaster_start_time()),
                     (SELECT oid FROM pg_database WHERE datname = current_database()),
                     pg_relation_filenode('audit_entry'))
$body$;

CREATE FUNCTION record_stands() RETURNS boolean LANGUAGE sql STABLE AS $body$
    SELECT EXISTS (SELECT FROM audit_standing
                    WHERE log = 'main' AND contradiction = '' AND incarnation = record_incarnation())
$body$;
"""


class Migration(migrations.Migration):
    """The standing of a log, and the question that every use asks."""

    dependencies = [("audit", "0007_attempts")]
    operations = [
        migrations.CreateModel(
            name="AuditStanding",
            fields=[
                ("log", models.TextField(primary_key=True, serialize=False)),
                ("incarnation", models.TextField()),
                ("contradiction", models.TextField(blank=True)),
                ("at", models.DateTimeField()),
            ],
            options={"db_table": "audit_standing"},
        ),
        migrations.RunSQL(MAKE, "DROP FUNCTION record_stands; DROP FUNCTION record_incarnation;"),
    ]
