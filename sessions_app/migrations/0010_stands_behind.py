"""Whether a person stands behind a grant: holds it, owns the machine that does, or handed it on, at whatever distance."""

from __future__ import annotations

from django.db import migrations

MAKE = """
CREATE FUNCTION stint_stands_behind(p_grant bigint, p_person text) RETURNS boolean LANGUAGE sql STABLE AS $body$
    WITH RECURSIVE chain AS (
        SELECT parent_id, holder_id FROM sessions_app_grant WHERE id = p_grant
        UNION ALL
        SELECT above.parent_id, above.holder_id FROM sessions_app_grant above JOIN chain ON above.id = chain.parent_id
    )
    SELECT EXISTS (
        SELECT FROM chain
          JOIN accounts_identity holder ON holder.id = chain.holder_id
          LEFT JOIN accounts_identity owner ON owner.id = holder.owner_id
         WHERE p_person IN (holder.person, owner.person))
$body$;
"""


class Migration(migrations.Migration):
    """One function."""

    dependencies = [("sessions_app", "0009_notice_asks"), ("accounts", "0045_person")]
    operations = [migrations.RunSQL(MAKE, "DROP FUNCTION stint_stands_behind;")]
