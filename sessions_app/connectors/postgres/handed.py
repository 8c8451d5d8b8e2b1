"""What could have been handed on: what stood before a grant was made, held against what stands after its end.

A grant's template roles may hand nothing on (see `reach`), but a right may come later, and some acts need no owner: a trigger
on a table, what is made in a template's name up to PostgreSQL 15. So each thing that the roles could have made is looked at
before and after: what they own, gave, and set as default privileges, memberships that they gave, settings of theirs, prepared
transactions, and triggers on tables on which they, or everybody, may put some. The look before is kept with the grant as short
digests, so that it is small and names nothing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, LiteralString

from psycopg import sql

from sessions_app.connectors.base import ConnectorError, Json
from sessions_app.connectors.postgres.connection import Budget, Server, connected
from sessions_app.connectors.postgres.parameters import parameters_of
from sessions_app.connectors.postgres.reach import (
    ACLS,
    above,
    asking,
    databases_of,
    defaults,
    given_by,
    grant_word,
    grantee_word,
)

# So many things are kept of one server, some 15 bytes each; roles that could touch more are refused.
MOST = 5000
# So many new things are told one by one.
TOLD = 5

_GIVEN = sql.SQL("""
WITH {}
SELECT a.grantor::bigint, string_agg(DISTINCT a.privilege_type || coalesce(' (' || quote_ident(c.attname) || ')', ''), ', '),
       i.type, i.identity, coalesce(e.rolname::text, 'public') AS grantee
FROM acls LEFT JOIN pg_attribute c ON classid = 'pg_class'::regclass AND c.attrelid = objid AND c.attnum = objsubid AND objsubid <> 0,
     aclexplode(acl) a LEFT JOIN pg_roles e ON e.oid = a.grantee, pg_identify_object(classid, objid, 0) i
WHERE a.grantor = ANY (%(oids)s) AND a.grantor <> a.grantee GROUP BY 1, 3, 4, 5 ORDER BY 4, 5
""").format(sql.SQL(ACLS))
_OWNED = sql.SQL("""
WITH {}
SELECT m.refobjid::bigint, i.type, i.identity FROM mine m, pg_identify_object(classid, objid, 0) i
WHERE m.deptype = 'o' AND m.classid <> 'pg_default_acl'::regclass ORDER BY 3
""").format(sql.SQL(ACLS))
# What roles of the server's own have: pg_shdepend leaves it out, for they can't be dropped.
_OWNED_BY_FIXED = sql.SQL("""
SELECT owner::bigint, i.type, i.identity FROM ({}) o(owner, classid, objid), pg_identify_object(classid, objid, 0) i
WHERE owner = ANY (%(oids)s) AND NOT EXISTS (
    SELECT FROM pg_type t WHERE classid = 'pg_type'::regclass AND t.oid = objid AND t.typrelid <> 0) AND i.type NOT IN ('index', 'toast table', 'composite type') AND i.identity !~ '\\[\\]$' ORDER BY 3
""").format(sql.SQL(" UNION ALL ").join(
    sql.SQL("SELECT {}, {}::regclass, oid FROM {}").format(sql.Identifier(owner), sql.Literal(catalogue), sql.Identifier(catalogue))
    for catalogue, owner in {
        "pg_class": "relowner", "pg_proc": "proowner", "pg_type": "typowner", "pg_namespace": "nspowner", "pg_operator": "oprowner",
        "pg_largeobject_metadata": "lomowner", "pg_foreign_server": "srvowner", "pg_collation": "collowner", "pg_conversion": "conowner",
        "pg_ts_config": "cfgowner", "pg_ts_dict": "dictowner", "pg_publication": "pubowner", "pg_extension": "extowner",
    }.items()
))  # fmt: skip
_EVERYWHERE: LiteralString = """
SELECT datname::text, datallowconn AND has_database_privilege(oid, 'CONNECT') FROM pg_database ORDER BY 1
"""
# The first number that is not of the server's own.
_FIRST_OWN = 16384
# One that the table's owner, or a superuser, says is theirs is left out: nobody else may comment on it.
_TRIGGERS: LiteralString = """
SELECT tgname, identity, digest FROM (
    SELECT t.oid, t.tgname::text, i.identity, left(md5(pg_get_triggerdef(t.oid) || t.tgenabled::text), 8) AS digest
    FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid, pg_identify_object('pg_class'::regclass, c.oid, 0) i
    WHERE NOT t.tgisinternal AND c.relacl IS NOT NULL AND EXISTS (
        SELECT FROM aclexplode(c.relacl) a
        WHERE a.privilege_type = 'TRIGGER' AND (a.grantee = 0 OR a.grantee = ANY (%(oids)s)))
    LIMIT %(most)s) found
WHERE position('keep ' || digest IN coalesce(obj_description(oid, 'pg_trigger'), '')) = 0 ORDER BY 2, 1
"""
_MEMBERS: LiteralString = """
SELECT m.grantor::bigint, r.rolname::text, e.rolname::text FROM pg_auth_members m
JOIN pg_roles r ON r.oid = m.roleid JOIN pg_roles e ON e.oid = m.member WHERE m.grantor = ANY (%(oids)s) ORDER BY 2, 3
"""
_SETTINGS: LiteralString = """
SELECT s.setrole::bigint, unnest(s.setconfig) FROM pg_db_role_setting s WHERE s.setrole = ANY (%(oids)s) ORDER BY 2
"""
_PREPARED: LiteralString = """
SELECT r.oid::bigint, p.gid, p.database::text FROM pg_prepared_xacts p JOIN pg_roles r ON r.rolname = p.owner
WHERE r.oid = ANY (%(oids)s) ORDER BY 2
"""
SHARED = ""


@dataclass(frozen=True, slots=True)
class Thing:
    """One thing that a role could have made: in words, and the SQL that undoes it. ``database`` is where that is run."""

    database: str
    text: str
    fix: str

    @property
    def digest(self) -> str:
        """What is kept of it."""
        return hashlib.sha256(self.text.encode()).hexdigest()[:12]


def snapshot(server: Server, templates: Sequence[str], budget: Budget) -> dict[str, Json]:
    """What stands before a grant with these templates is made, as it is kept with the grant. Raises ConnectorError."""
    roles = {role.name: role.oid for role in above(server, templates)}
    found = _things(server, {oid: name for name, oid in roles.items()}, budget)
    count = sum(map(len, found.values()))
    if count > MOST:
        raise ConnectorError(
            f"{server.place.target.name}: {', '.join(templates) or 'PUBLIC'} can create triggers on tables with {count} of them "
            f"or more; Stint compares {MOST}. Revoke TRIGGER on tables from the role, or from PUBLIC.",
            permanent=True,
        )
    kept = {database: sorted(one.digest for one in things) for database, things in found.items()}
    return {"templates": list(templates), "roles": roles, "databases": kept}


def appeared(
    server: Server, before: Mapping[str, Any], budget: Budget
) -> tuple[dict[str, Json], list[Thing]]:
    """Return what was compared, and what stands now and did not before the grant was made. Raises ConnectorError."""
    if not before:
        return {"compared": "nothing: it never became usable"}, []
    roles: dict[int, str] = {oid: name for name, oid in before["roles"].items()}
    found = _things(server, roles, budget)
    known = {database: frozenset(digests) for database, digests in before["databases"].items()}
    new = [
        one
        for database, things in found.items()
        for one in things
        if one.digest not in known.get(database, frozenset())
    ]
    new += _risen(server, before, budget)
    told: dict[str, Json] = {
        "roles": sorted(roles.values()) or ["PUBLIC"],
        "databases": sorted(name for name in found if name != SHARED),
        "things": sum(map(len, found.values())),
        "new": len(new),
    }
    return {"compared": told}, new


def _risen(server: Server, before: Mapping[str, Any], budget: Budget) -> Iterator[Thing]:
    """Roles that a template has become a member of meanwhile, where these own something or gave something to others."""
    for role in above(server, before["templates"]):
        if role.oid in before["roles"].values():
            continue
        count = sum(map(len, _things(server, {role.oid: role.name}, budget, triggers=False).values()))
        if count:
            fix = sql.SQL("REVOKE {} FROM {};").format(
                sql.Identifier(role.name), sql.Identifier(role.template)
            )
            yield Thing(
                SHARED, f"{role.template} has {role.name}, which owns or gave {count} things", fix.as_string()
            )


def complaint(server: Server, new: Sequence[Thing]) -> ConnectorError:
    """What is told when something appeared that may be the holder's: the exact SQL to look at."""
    parts = [
        f"{one.text}{f' (database {one.database})' if one.database else ''}: {one.fix}" for one in new[:TOLD]
    ]
    more = f" And {len(new) - TOLD} more." if len(new) > TOLD else ""
    return ConnectorError(
        f"{server.place.target.name}: objects appeared during the grant that its roles could have created. Stint can't tell "
        f"who created them. An administrator must review them and run what removes them. {' '.join(parts)}{more}",
        permanent=True,
    )


def _things(
    server: Server, roles: Mapping[int, str], budget: Budget, *, triggers: bool = True
) -> dict[str, list[Thing]]:
    """What the roles could have made, by database; the shared ones under no name."""
    own = parameters_of(server.place).database
    found = {SHARED: list(_shared(server, roles))}
    where = databases_of(server, list(roles), own)
    if _fixed(server, roles):
        where |= dict(server.rows(_EVERYWHERE))
    for database, connectable in where.items():
        if not connectable:
            continue  # nobody, the holder included, gets into it
        if database == server.connection.info.dbname:
            found[database] = list(_in_database(server, roles, triggers=triggers))
            continue
        with connected(server.place, budget, database=database, purpose="stint look") as there:
            found[database] = list(_in_database(there, roles, triggers=triggers))
    return found


def _shared(server: Server, roles: Mapping[int, str]) -> Iterator[Thing]:
    if not roles:
        return
    values = {"oids": list(roles)}
    for oid, role, member in server.rows_by_names(_MEMBERS, values):
        fix = sql.SQL("REVOKE {} FROM {}{};").format(
            sql.Identifier(role), sql.Identifier(member),
            sql.SQL(" GRANTED BY {}").format(sql.Identifier(roles[oid])) if server.version >= 16 else sql.SQL(""),
        )  # fmt: skip
        yield Thing(SHARED, f"{roles[oid]} gave the role {role} to {member}", fix.as_string())
    for oid, setting in server.rows_by_names(_SETTINGS, values):
        name = sql.Identifier(roles[oid])
        fix = sql.SQL("ALTER ROLE {} RESET ALL;").format(name)
        yield Thing(SHARED, f"{roles[oid]} is set {setting}", fix.as_string())
    for oid, gid, database in server.rows_by_names(_PREPARED, values):
        fix = sql.SQL("ROLLBACK PREPARED {};").format(sql.Literal(gid))
        yield Thing(database, f"{roles[oid]} prepared the transaction {gid}", fix.as_string())


def _fixed(server: Server, roles: Mapping[int, str]) -> list[int]:
    """The roles of the server's own in whose name a member makes things: up to PostgreSQL 15, where no membership is without SET."""
    return [oid for oid in roles if oid < _FIRST_OWN] if server.version < 16 else []


def _in_database(there: Server, roles: Mapping[int, str], *, triggers: bool) -> Iterator[Thing]:
    database = there.connection.info.dbname
    keeper = sql.Identifier(parameters_of(there.place).reassign_to).as_string()
    if roles:
        values = {**asking(there, list(roles)), "like": given_by(list(roles.values()))}
        fixed = {"oids": _fixed(there, roles)}
        owned = there.rows_by_names(_OWNED_BY_FIXED, fixed) if fixed["oids"] else []
        for oid, type_, identity in [*there.rows_by_names(_OWNED, values), *owned]:
            fix = f"ALTER {type_.upper()} {identity} OWNER TO {keeper};"
            yield Thing(database, f"{roles[oid]} owns {type_} {identity}", fix)
        for oid, privilege, type_, identity, grantee in there.rows_by_names(_GIVEN, values):
            yield Thing(
                database, f"{roles[oid]} gave {privilege} on {type_} {identity} to {grantee}",
                _revoke_one(roles[oid], privilege, type_, identity, grantee),
            )  # fmt: skip
        for later in defaults(there, list(roles)):
            if later.owner_oid in roles:
                said = f"{later.owner} gives {later.privilege} on {later.things.lower()} of {later.schema or 'every schema'}"
                yield Thing(database, f"{said} to {later.grantee}", later.revoke())
    if triggers:
        for name, identity, digest in there.rows_by_names(_TRIGGERS, {"oids": list(roles), "most": MOST + 1}):
            quoted = sql.Identifier(name).as_string()
            fix = (
                f"DROP TRIGGER {quoted} ON {identity}; -- or, to keep it: "
                f"COMMENT ON TRIGGER {quoted} ON {identity} IS 'keep {digest}';"
            )
            yield Thing(database, f"trigger {name} on {identity} ({digest})", fix)


def _revoke_one(grantor: str, privilege: str, type_: str, identity: str, grantee: str) -> str:
    role = sql.Identifier(grantor).as_string()
    return f"SET ROLE {role}; REVOKE {privilege} ON {grant_word(type_)} {identity} FROM {grantee_word(grantee)} CASCADE; RESET ROLE;"
