"""What is asked about a grant and those above and below it.

- ``stint_tree``: the ids of all grants in the tree of delegations that a grant belongs to, in ascending order. The first is the one
  that was approved, for a grant is always newer than the one that it was delegated from.
- ``stint_usable_until``: until when a grant and all those above it are usable, unless something ends them sooner; '-infinity' if one
  of them is not. Everything delegated from a grant depends on this.
"""

from __future__ import annotations

from django.db import migrations

# In PL/pgSQL, which keeps the plans of its statements.
TREES = """
CREATE FUNCTION stint_tree(p_grant bigint) RETURNS bigint[] LANGUAGE plpgsql STABLE AS $body$
DECLARE
    v_top bigint := p_grant;
    v_above bigint;
BEGIN
    LOOP
        SELECT parent_id INTO v_above FROM sessions_app_grant WHERE id = v_top;
        EXIT WHEN v_above IS NULL;
        v_top := v_above;
    END LOOP;
    RETURN (
        WITH RECURSIVE tree AS (
            SELECT v_top AS id
            UNION ALL
            SELECT below.id FROM sessions_app_grant below JOIN tree ON below.parent_id = tree.id
        )
        SELECT array_agg(id ORDER BY id) FROM tree);
END
$body$;

CREATE FUNCTION stint_usable_until(p_grant bigint) RETURNS timestamptz LANGUAGE plpgsql STABLE AS $body$
DECLARE
    v_until timestamptz := 'infinity';
    v_at bigint := p_grant;
    v_one record;
BEGIN
    WHILE v_at IS NOT NULL LOOP
        SELECT g.parent_id, least(g.expires_at, g.heartbeat_due_at) AS until,
               g.state = 'active' AND g.held_at IS NULL AND i.is_active AND coalesce(o.is_active, true) AS usable
          INTO v_one
          FROM sessions_app_grant g
          JOIN accounts_identity i ON i.id = g.holder_id
          LEFT JOIN accounts_identity o ON o.id = i.owner_id
         WHERE g.id = v_at;
        IF v_one.usable IS NOT TRUE THEN
            RETURN '-infinity';
        END IF;
        v_until := least(v_until, v_one.until);
        v_at := v_one.parent_id;
    END LOOP;
    RETURN v_until;
END
$body$;
"""

REMOVE = """
DROP FUNCTION stint_usable_until, stint_tree;
"""


class Migration(migrations.Migration):
    """Two functions."""

    dependencies = [("sessions_app", "0007_proposals")]
    operations = [migrations.RunSQL(TREES, REMOVE)]
