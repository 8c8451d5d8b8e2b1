"""Checks for what a grant's template roles, and the roles above them, can pass on to others or destroy:
objects that they own, privileges that they can grant to others, and row-level security policies that name
them.

A holder of such a role could grant these to PUBLIC or another role, or drop the policy, and the effect would
outlast the grant. So no grant can include such a role.

pg_shdepend, shared by all databases, lists each object that a role owns or whose privileges name it. So the
cost of a check depends on the number of these objects, not on the size of the system catalog. Predefined
roles are pinned and not listed there: they own nothing, and the ones that a grant can include can pass
nothing on. Sources: PostgreSQL's pg_shdepend, aclexplode, pg_auth_members, and GRANT.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import LiteralString

from psycopg import sql

from sessions_app.connectors.base import ConnectorError
from sessions_app.connectors.postgres.acls import ACLS, Gifts, asking, by_object, given, grant_word, owner_fix
from sessions_app.connectors.postgres.connection import Budget, Server, connected
from sessions_app.connectors.postgres.defaults import defaults
from sessions_app.connectors.postgres.policies import policies_naming
from sessions_app.policy.commands.postgres.roles import SCHEDULERS, role_fault

# The maximum number of faults reported per database. A single fault is enough to refuse a role.
MOST = 5

_ABOVE: LiteralString = """
WITH RECURSIVE above(template, oid) AS (
    SELECT rolname, oid FROM pg_roles WHERE rolname = ANY (%s)
    UNION SELECT a.template, m.roleid FROM pg_auth_members m JOIN above a ON m.member = a.oid)
SELECT template::text, rolname::text, oid::bigint,
       rolsuper OR rolcreaterole OR rolcreatedb OR rolreplication OR rolbypassrls
FROM pg_roles JOIN above USING (oid) ORDER BY 1, 2
"""
_ADMINS: LiteralString = """
SELECT m.member::bigint, r.rolname::text FROM pg_auth_members m JOIN pg_roles r ON r.oid = m.roleid
WHERE m.member = ANY (%s) AND m.admin_option ORDER BY 2
"""
# Databases where the roles own something or are named in privileges.
_WHERE: LiteralString = """
SELECT d.datname::text, d.datallowconn FROM pg_database d WHERE d.datname = ANY (%(always)s) OR d.oid IN (
    SELECT dbid FROM pg_shdepend WHERE refclassid = 'pg_authid'::regclass AND refobjid = ANY (%(oids)s))
ORDER BY 1
"""
# A column is reported as its table, because a revoke on a table includes its columns.
_FAULTS = sql.SQL("""
WITH {}
SELECT role, what, type, identity FROM (
    SELECT refobjid::bigint AS role, 'owns' AS what, classid, objid, 0 AS objsubid FROM mine
    WHERE deptype = 'o' AND classid <> 'pg_default_acl'::regclass
    UNION ALL SELECT DISTINCT a.grantee::bigint, 'grant', classid, objid, 0 FROM acls, aclexplode(acl) a
    WHERE a.is_grantable AND a.grantee = ANY (%(oids)s)
    UNION ALL SELECT DISTINCT a.grantee::bigint, 'system', classid, objid, 0 FROM acls, aclexplode(acl) a
    WHERE a.privilege_type = 'ALTER SYSTEM' AND a.grantee = ANY (%(oids)s)
    UNION ALL SELECT DISTINCT a.grantee::bigint, 'jobs', classid, objid, 0 FROM acls JOIN pg_namespace n
        ON classid = 'pg_namespace'::regclass AND n.oid = objid AND n.nspname = ANY (%(schedulers)s),
        aclexplode(acl) a
    WHERE a.grantee = ANY (%(oids)s)
) found, pg_identify_object(classid, objid, objsubid) ORDER BY 1, 2, 4 LIMIT %(most)s
""").format(ACLS)


@dataclass(frozen=True, slots=True)
class Above:
    """A role of which a template is a member, or the template itself.

    ``powerful`` means that the role has server-wide attributes.
    """

    template: str
    name: str
    oid: int
    powerful: bool


@dataclass(frozen=True, slots=True)
class Fault:
    """Why no grant can include a template role, and the SQL that fixes it.

    ``role`` is the template or a role above it.
    """

    template: str
    role: str
    reason: str
    fix: str

    def __str__(self) -> str:
        through = "" if self.role == self.template else f", which {self.template} is a member of"
        return f"{self.role}{through} {self.reason}"


def above(server: Server, templates: Sequence[str]) -> list[Above]:
    """Return the templates and every role above them at any level, inherited or not."""
    return [Above(*row) for row in server.rows(_ABOVE, (list(templates),))]


def databases_of(server: Server, oids: Sequence[int], always: Collection[str]) -> dict[str, bool]:
    """Return the databases with objects that the roles own or that name the roles.

    Existing databases in ``always`` are included. Each name maps to whether the database accepts connections.
    """
    return dict(server.rows_by_names(_WHERE, {"oids": list(oids), "always": list(always)}))


def faults_of(server: Server, templates: Sequence[str], budget: Budget) -> list[Fault]:
    """Return why grants may not include these roles; empty if they may. Raises ConnectorError.

    Checks, in order: names and attributes, the roles that they can grant, and what they own or can grant in
    each database, including shared objects.
    """
    roles = above(server, templates)
    broker = server.connection.info.user
    found = [fault for role in roles if (fault := _by_name(role, broker))]
    if found or not roles:
        return found
    known: dict[int, list[Above]] = defaultdict(list)
    for role in roles:
        known[role.oid].append(role)
    here = server.connection.info.dbname
    found = [
        _admin(role, given) for oid, given in server.rows(_ADMINS, (list(known),)) for role in known[oid]
    ]
    for database, connectable in databases_of(server, list(known), [here]).items():
        if not connectable:
            continue  # no one can connect to this database, including the holder
        found += _in_database(server, database, known, budget)
    return found


def _by_name(role: Above, broker: str) -> Fault | None:
    reason = "has attributes such as SUPERUSER or CREATEROLE" if role.powerful else role_fault(role.name)
    if role.name == broker:
        reason = reason or "is Stint’s own role"
    if not reason:
        return None
    return Fault(role.template, role.name, reason, "Use another role, or create one for this purpose.")


def _admin(role: Above, given: str) -> Fault:
    fix = sql.SQL("REVOKE ADMIN OPTION FOR {} FROM {};").format(
        sql.Identifier(given), sql.Identifier(role.name)
    )
    return Fault(role.template, role.name, f"can grant the role {given} to others", fix.as_string())


def _in_database(
    server: Server, database: str, known: Mapping[int, Sequence[Above]], budget: Budget
) -> list[Fault]:
    if database == server.connection.info.dbname:
        return _faults_here(server, known)
    with connected(server.place, budget, database=database, purpose="stint look") as there:
        return _faults_here(there, known)


def _faults_here(there: Server, known: Mapping[int, Sequence[Above]]) -> list[Fault]:
    rows = there.rows_by_names(
        _FAULTS,
        {**asking(there, list(known)), "like": ["%*%"], "most": MOST, "schedulers": sorted(SCHEDULERS)},
    )
    owners = {oid: known[oid][0].name for oid, what, *_ in rows if what == "owns"}
    gifts = by_object(given(there, owners)) if owners else {}
    found = [_fault(there, role, gifts, *row) for oid, *row in rows for role in known[oid]]
    found += [
        _policy(there, role, named, fix)
        for oid, named, fix in policies_naming(there, list(known), MOST)
        for role in known[oid]
    ]
    later = [one for one in defaults(there, known) if one.grantable]
    return found + [
        Fault(
            role.template,
            role.name,
            f"will get privileges WITH GRANT OPTION on {one.things.lower()} that {one.owner} creates",
            one.revoke("GRANT OPTION FOR "),
        )
        for one in later
        for roles in known.values()
        for role in roles
        if role.name == one.grantee
    ]


def _policy(there: Server, role: Above, named: str, fix: str) -> Fault:
    inside = f"(in database {there.connection.info.dbname})"
    return Fault(
        role.template, role.name, f"is named by policy {named} {inside}, which a holder could drop", fix
    )


def _fault(there: Server, role: Above, gifts: Gifts, what: str, type_: str, identity: str) -> Fault:
    database = there.connection.info.dbname
    name = sql.Identifier(role.name).as_string()
    inside = f"(in database {database})"
    if what == "owns":
        mine = gifts.get((role.oid, type_, identity), ())
        fix = f"{owner_fix(there, type_, identity, mine)} -- or to another owner"
        return Fault(role.template, role.name, f"owns {type_} {identity} {inside}", fix)
    if what == "system":
        fix = f"REVOKE ALTER SYSTEM ON PARAMETER {identity} FROM {name};"
        return Fault(role.template, role.name, f"can change {identity} for the whole server", fix)
    if what == "jobs":
        return Fault(
            role.template,
            role.name,
            f"can use schema {identity}, which schedules jobs {inside}",
            f"REVOKE ALL ON SCHEMA {identity} FROM {name};",
        )
    fix = f"REVOKE GRANT OPTION FOR ALL ON {grant_word(type_)} {identity} FROM {name} CASCADE;"
    return Fault(
        role.template, role.name, f"has privileges on {type_} {identity} WITH GRANT OPTION {inside}", fix
    )


def refuse_faults(server: Server, templates: Sequence[str], budget: Budget) -> None:
    """Raise a permanent ConnectorError if a template role is missing, or has something that a holder could
    pass on.
    """
    known = {role.template for role in above(server, templates)}
    for name in templates:
        if name not in known:
            raise ConnectorError(
                f"{server.place.target.name} has no role {name}. Create it, or use another.",
                permanent=True,
            )
    found = faults_of(server, templates, budget)
    if found:
        raise ConnectorError(
            f"{server.place.target.name}: no grant may use the role {found[0].template}: {found[0]}, so "
            "the effects of its holder's actions could outlive the grant. An administrator must run: "
            f"{found[0].fix}",
            permanent=True,
        )
