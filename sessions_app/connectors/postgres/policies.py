"""Row-level security policies that name a role in TO.

Anyone with a role's privileges can run DROP OWNED BY for it. PostgreSQL then removes the role from policies
on other owners' tables, and drops a policy that names no other role, without checking who owns the table. A
policy TO PUBLIC that checks `pg_has_role` in its conditions can't be removed in this way. Sources:
PostgreSQL's DROP OWNED, CREATE POLICY, pg_policy, and shdepDropOwned in src/backend/catalog/pg_shdepend.c.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import LiteralString

from sessions_app.connectors.postgres.connection import Server

# pg_has_role with USAGE is the test with which the server itself applies a policy to a role. A missing
# condition stays missing: the policy then neither permits nor restricts anything.
_POLICIES: LiteralString = """
SELECT s.refobjid::bigint, format('%%I on %%s', p.polname, i.identity),
       format('ALTER POLICY %%I ON %%s TO PUBLIC%%s%%s;', p.polname, i.identity,
              ' USING (' || w.start || pg_get_expr(p.polqual, p.polrelid) || ')',
              ' WITH CHECK (' || w.start || pg_get_expr(p.polwithcheck, p.polrelid) || ')')
FROM pg_shdepend s JOIN pg_policy p ON s.classid = 'pg_policy'::regclass AND p.oid = s.objid,
     pg_identify_object('pg_class'::regclass, p.polrelid, 0) i,
     LATERAL (SELECT string_agg(format('pg_has_role(%%L, ''USAGE'')', r.rolname), ' OR ' ORDER BY r.rolname)
              FROM pg_roles r WHERE r.oid = ANY (p.polroles)) named(roles),
     LATERAL (SELECT CASE WHEN p.polpermissive THEN format('(%%s) AND ', named.roles)
                          ELSE format('NOT (%%s) OR ', named.roles) END) w(start)
WHERE s.refclassid = 'pg_authid'::regclass AND s.refobjid = ANY (%(oids)s) AND s.deptype = 'r'
AND s.dbid = (SELECT oid FROM pg_database WHERE datname = current_database()) ORDER BY 2, 1 LIMIT %(most)s
"""


def policies_naming(there: Server, oids: Sequence[int], most: int) -> list[tuple[int, str, str]]:
    """Return the policies of a database that name the roles: the role's OID, the policy and its table, and
    the fix.

    The fix is the SQL that makes the policy check membership in the role instead. Raises ConnectorError.
    """
    return [(*row,) for row in there.rows_by_names(_POLICIES, {"oids": list(oids), "most": most})]
