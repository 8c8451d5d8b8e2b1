"""Announces each append, so that whoever shows the record's objects knows when to look again.

In the appending transaction, on the channel ``stint_record``: the number of the last entry, once for each append,
however many entries it has. It tells that something happened, never what.
"""

from __future__ import annotations

from django.db import migrations

ANNOUNCE = """
CREATE FUNCTION audit_announce() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $body$
BEGIN
    PERFORM pg_notify('stint_record', NEW.seq::text);
    RETURN NULL;
END
$body$;
REVOKE EXECUTE ON FUNCTION audit_announce() FROM PUBLIC;
CREATE TRIGGER audit_announce AFTER UPDATE ON audit_head
    FOR EACH ROW WHEN (NEW.log = 'main') EXECUTE FUNCTION audit_announce();
"""

REMOVE = """
DROP TRIGGER audit_announce ON audit_head;
DROP FUNCTION audit_announce;
"""


class Migration(migrations.Migration):
    """Announcements."""

    dependencies = [("audit", "0002_auditbacklog")]
    operations = [migrations.RunSQL(ANNOUNCE, REMOVE)]
