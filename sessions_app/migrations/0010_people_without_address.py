"""Lets anybody stand behind what an account without an email address holds, since nobody knows whose it is.

``stint_stands_behind`` is as before, and also true if a person without an address holds the grant, owns the machine that does, or
delegated it.
"""

from __future__ import annotations

from django.db import migrations

STANDS_BEHIND = """
CREATE OR REPLACE FUNCTION stint_stands_behind(p_grant bigint, p_person text) RETURNS boolean LANGUAGE sql STABLE AS $body$
    WITH RECURSIVE chain AS (
        SELECT parent_id, holder_id FROM sessions_app_grant WHERE id = p_grant
        UNION ALL
        SELECT above.parent_id, above.holder_id FROM sessions_app_grant above JOIN chain ON above.id = chain.parent_id
    )
    SELECT EXISTS (
        SELECT FROM chain
          JOIN accounts_identity holder ON holder.id = chain.holder_id
          LEFT JOIN accounts_identity owner ON owner.id = holder.owner_id
         WHERE p_person IN (holder.person, owner.person) OR '' IN (holder.person, owner.person))
$body$;
"""


class Migration(migrations.Migration):
    """Who stands behind a grant."""

    dependencies = [("sessions_app", "0009_notices"), ("accounts", "0004_tokens_and_people")]
    operations = [migrations.RunSQL(STANDS_BEHIND, migrations.RunSQL.noop)]
