"""Announces each append, so that whoever shows the record's objects knows when to look again.

In the appending transaction, on the channel ``stint_record``: the number of the last new entry and the families of
the new events, separated by spaces (``1042 grant session``). It tells that something happened, never what.
"""

from __future__ import annotations

from django.db import migrations

ANNOUNCE = """
CREATE FUNCTION audit_announce() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $body$
BEGIN
    -- One announcement a statement, however many entries it appends.
    PERFORM pg_notify('stint_record', max(n.seq) || ' ' || string_agg(DISTINCT split_part(n.event, '.', 1), ' '))
       FROM new_rows n WHERE n.log = 'main' HAVING max(n.seq) IS NOT NULL;
    RETURN NULL;
END
$body$;
CREATE TRIGGER audit_announce AFTER INSERT ON audit_entry
    REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION audit_announce();
"""

REMOVE = """
DROP TRIGGER audit_announce ON audit_entry;
DROP FUNCTION audit_announce;
"""


class Migration(migrations.Migration):
    """Announcements."""

    dependencies = [("audit", "0002_auditbacklog")]
    operations = [migrations.RunSQL(ANNOUNCE, REMOVE)]
