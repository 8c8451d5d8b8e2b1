"""Makes ``stint_stands_behind`` follow a grant's parents by their keys.

The function is as before. As a recursive query, PostgreSQL planned it anew at each place of each statement, and
each call took a tenth of a millisecond. Every page asks it about everything that may wait for its reader.
"""

from __future__ import annotations

from importlib import import_module

from django.db import migrations

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
    """Who stands behind a grant, planned once per connection."""

    dependencies = [("sessions_app", "0021_watches")]
    operations = [migrations.RunSQL(STANDS_BEHIND, _BEFORE)]
