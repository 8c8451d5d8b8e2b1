"""Makes it cheaper to ask whether the record stands, which every decision does.

A function in SQL is planned at each call, so statements that are prepared once have the condition in them
(`broker.audit.standing.STANDS`). A table that was restored has another file: files are numbered over all databases of a server.
"""

from __future__ import annotations

from django.db import migrations

MAKE = """
DROP FUNCTION record_stands();

CREATE OR REPLACE FUNCTION record_incarnation() RETURNS text LANGUAGE sql STABLE AS $body$
    SELECT concat_ws('/', extract(epoch FROM pg_postmaster_start_time()), pg_relation_filenode('audit_entry'))
$body$;
"""


class Migration(migrations.Migration):
    """The function goes, and what tells a restored database from the one that was compared is less."""

    dependencies = [("audit", "0008_standing")]
    operations = [migrations.RunSQL(MAKE, elidable=True)]
