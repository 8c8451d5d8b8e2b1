"""What the template roles of a grant, and the roles above them, may hand on: what they own, and what they may give others.

A holder of such a role could give it to PUBLIC or to a friend, and nothing of that would end with the grant; so no grant gets
one. pg_shdepend, shared by all databases, names each object that a role owns or that names it among its privileges, so that a
look costs as much as the roles have, however large the catalogue is. Predefined roles are pinned and not in it: they own
nothing, and those that a grant may have give nothing on.
Sources: PostgreSQL's pg_shdepend, aclexplode, pg_auth_members, and GRANT.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, LiteralString

from psycopg import sql

from sessions_app.connectors.base import ConnectorError
from sessions_app.connectors.postgres.connection import Budget, Server, connected
from sessions_app.connectors.postgres.parameters import parameters_of
from sessions_app.policy.commands.postgres.roles import SCHEDULERS, role_fault

# What a privilege as text has without quotes.
_PLAIN = re.compile(r"[a-zA-Z0-9_]+")
# So many faults of one database are told; one is enough to refuse a role.
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
# Databases in which the roles own something or are named among privileges.
_WHERE: LiteralString = """
SELECT d.datname::text, d.datallowconn FROM pg_database d WHERE d.datname = %(always)s OR d.oid IN (
    SELECT dbid FROM pg_shdepend WHERE refclassid = 'pg_authid'::regclass AND refobjid = ANY (%(oids)s)) ORDER BY 1
"""
# Of tables that are owned all columns are looked at: what an owner gave of one is not written down as the owner's. ``like`` leaves
# out, of what there may be very much of, privileges whose text can't be of interest.
# The objects that belong to one of the roles or name it, with their privileges; those that all databases share only in one of them.
ACLS: LiteralString = """
mine AS MATERIALIZED (
    SELECT classid, objid, objsubid, refobjid, deptype FROM pg_shdepend
    WHERE refclassid = 'pg_authid'::regclass AND refobjid = ANY (%(oids)s)
    AND (dbid = (SELECT oid FROM pg_database WHERE datname = current_database()) OR (dbid = 0 AND %(shared)s))),
named AS (SELECT classid, objid, objsubid, deptype FROM mine WHERE deptype IN ('o', 'a')),
acls(classid, objid, objsubid, acl) AS (
    SELECT n.classid, n.objid, n.objsubid, o.relacl FROM named n JOIN pg_class o
        ON n.classid = 'pg_class'::regclass AND o.oid = n.objid AND n.objsubid = 0 WHERE o.relacl::text LIKE ANY (%(like)s)
    UNION ALL SELECT n.classid, n.objid, n.objsubid, o.attacl FROM named n JOIN pg_attribute o
        ON n.classid = 'pg_class'::regclass AND o.attrelid = n.objid AND o.attnum = n.objsubid WHERE n.objsubid <> 0
    UNION ALL SELECT n.classid, n.objid, o.attnum::int, o.attacl FROM named n JOIN pg_attribute o
        ON n.classid = 'pg_class'::regclass AND o.attrelid = n.objid AND o.attacl IS NOT NULL WHERE n.deptype = 'o'
    UNION ALL SELECT n.classid, n.objid, n.objsubid, o.proacl FROM named n JOIN pg_proc o
        ON n.classid = 'pg_proc'::regclass AND o.oid = n.objid WHERE o.proacl::text LIKE ANY (%(like)s)
    UNION ALL SELECT n.classid, n.objid, n.objsubid, o.typacl FROM named n JOIN pg_type o
        ON n.classid = 'pg_type'::regclass AND o.oid = n.objid WHERE o.typacl::text LIKE ANY (%(like)s)
    UNION ALL SELECT n.classid, n.objid, n.objsubid, o.lomacl FROM named n JOIN pg_largeobject_metadata o
        ON n.classid = 'pg_largeobject'::regclass AND o.oid = n.objid WHERE o.lomacl::text LIKE ANY (%(like)s)
    UNION ALL SELECT n.classid, n.objid, n.objsubid, o.nspacl FROM named n JOIN pg_namespace o
        ON n.classid = 'pg_namespace'::regclass AND o.oid = n.objid
    UNION ALL SELECT n.classid, n.objid, n.objsubid, o.lanacl FROM named n JOIN pg_language o
        ON n.classid = 'pg_language'::regclass AND o.oid = n.objid
    UNION ALL SELECT n.classid, n.objid, n.objsubid, o.fdwacl FROM named n JOIN pg_foreign_data_wrapper o
        ON n.classid = 'pg_foreign_data_wrapper'::regclass AND o.oid = n.objid
    UNION ALL SELECT n.classid, n.objid, n.objsubid, o.srvacl FROM named n JOIN pg_foreign_server o
        ON n.classid = 'pg_foreign_server'::regclass AND o.oid = n.objid
    UNION ALL SELECT n.classid, n.objid, n.objsubid, o.datacl FROM named n JOIN pg_database o
        ON n.classid = 'pg_database'::regclass AND o.oid = n.objid
    UNION ALL SELECT n.classid, n.objid, n.objsubid, o.spcacl FROM named n JOIN pg_tablespace o
        ON n.classid = 'pg_tablespace'::regclass AND o.oid = n.objid
    UNION ALL SELECT n.classid, n.objid, n.objsubid, o.paracl FROM named n JOIN pg_parameter_acl o
        ON n.classid = 'pg_parameter_acl'::regclass AND o.oid = n.objid)
"""
# A column is named by its table: what is taken from a table is taken from its columns.
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
        ON classid = 'pg_namespace'::regclass AND n.oid = objid AND n.nspname = ANY (%(schedulers)s), aclexplode(acl) a
    WHERE a.grantee = ANY (%(oids)s)
) found, pg_identify_object(classid, objid, objsubid) ORDER BY 1, 2, 4 LIMIT %(most)s
""").format(sql.SQL(ACLS))
# What will be given on what is made later: by one of the roles, or to one of them so that it may give it on.
_DEFAULTS: LiteralString = """
SELECT d.defaclrole::bigint, r.rolname::text, d.defaclobjtype::text, n.nspname::text, a.grantee::bigint,
       coalesce(e.rolname::text, 'public'), a.privilege_type
FROM pg_default_acl d JOIN pg_roles r ON r.oid = d.defaclrole LEFT JOIN pg_namespace n ON n.oid = d.defaclnamespace,
     aclexplode(d.defaclacl) a LEFT JOIN pg_roles e ON e.oid = a.grantee
WHERE (d.defaclrole = ANY (%(oids)s) AND a.grantee <> d.defaclrole) OR (a.grantee = ANY (%(oids)s) AND a.is_grantable)
ORDER BY 2, 4, 3, 6, 7
"""
_LATER = {
    "r": "TABLES",
    "S": "SEQUENCES",
    "f": "FUNCTIONS",
    "T": "TYPES",
    "n": "SCHEMAS",
    "L": "LARGE OBJECTS",
}
# What pg_identify_object calls otherwise than GRANT does.
_WORDS = {
    "view": "TABLE", "materialized view": "TABLE", "foreign table": "TABLE", "aggregate": "FUNCTION",
    "foreign-data wrapper": "FOREIGN DATA WRAPPER", "server": "FOREIGN SERVER", "parameter acl": "PARAMETER",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Above:
    """A role that a template has, itself included. ``powerful``: it has attributes that reach over the whole server."""

    template: str
    name: str
    oid: int
    powerful: bool


@dataclass(frozen=True, slots=True)
class Fault:
    """Why no grant may have a template role: what is wrong with ``role``, itself or above it, and the SQL that mends it."""

    template: str
    role: str
    reason: str
    fix: str

    def __str__(self) -> str:
        through = "" if self.role == self.template else f", which {self.template} is a member of"
        return f"{self.role}{through} {self.reason}"


@dataclass(frozen=True, slots=True)
class Default:
    """A privilege that ``grantee`` will have on what ``owner`` makes; ``schema`` None: in all of them."""

    owner_oid: int
    owner: str
    type: str
    schema: str | None
    grantee_oid: int
    grantee: str
    privilege: str

    @property
    def things(self) -> str:
        """What it is about, as PostgreSQL writes it: `TABLES`."""
        return _LATER.get(self.type, self.type)

    def revoke(self, words: str = "") -> str:
        """The SQL that takes it back, or only what ``words`` say of it."""
        where = f" IN SCHEMA {_name(self.schema)}" if self.schema else ""
        return (
            f"ALTER DEFAULT PRIVILEGES FOR ROLE {_name(self.owner)}{where} REVOKE {words}{self.privilege} ON {self.things} "
            f"FROM {grantee_word(self.grantee)};"
        )


def _name(name: str) -> str:
    return sql.Identifier(name).as_string()


def grantee_word(name: str) -> str:
    """A grantee as GRANT has it. No role can be called public."""
    return "PUBLIC" if name == "public" else _name(name)


def defaults(server: Server, oids: Sequence[int]) -> list[Default]:
    """What the roles give on things that will be made, and what they are given there so that they may give it on."""
    return [Default(*row) for row in server.rows_by_names(_DEFAULTS, {"oids": list(oids)})]


def grant_word(type_: str) -> str:
    """The word that GRANT and REVOKE have for a type of object as pg_identify_object says it."""
    return _WORDS.get(type_.lower(), type_.upper())


def above(server: Server, templates: Sequence[str]) -> list[Above]:
    """Every role that the templates have, those above them at any height, whether or not it is inherited."""
    return [Above(*row) for row in server.rows(_ABOVE, (list(templates),))]


def asking(there: Server, oids: Sequence[int]) -> dict[str, Any]:
    """The values with which `ACLS` is asked in a database, so that what all of them share is told once."""
    return {"oids": list(oids), "shared": there.connection.info.dbname == parameters_of(there.place).database}


def given_by(names: Collection[str]) -> list[str]:
    """Patterns that privileges match, as text, when one of the roles gave some of them; others may match as well."""
    plain = [name.replace("_", r"\_") for name in names if _PLAIN.fullmatch(name)]
    return [f"%/{name}%" for name in plain] if len(plain) == len(names) else ["%"]


def databases_of(server: Server, oids: Sequence[int], always: str = "") -> dict[str, bool]:
    """The databases in which something belongs to the roles or names them, and ``always``; each with whether it takes
    connections.
    """
    with_names = {"oids": list(oids), "always": always}
    return dict(server.rows_by_names(_WHERE, with_names))


def faults_of(server: Server, templates: Sequence[str], budget: Budget) -> list[Fault]:
    """Why grants may not have these roles; empty when they may. Raises ConnectorError.

    One after the other: the names and attributes, which roles they may hand out, and then what they own or may give in each
    database, the shared objects with them.
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
    for database, connectable in databases_of(server, list(known), here).items():
        if not connectable:
            continue  # nobody, the holder included, gets into it
        found += _in_database(server, database, known, budget)
    return found


def _by_name(role: Above, broker: str) -> Fault | None:
    reason = "has attributes such as SUPERUSER or CREATEROLE" if role.powerful else role_fault(role.name)
    if role.name == broker:
        reason = reason or "is Stint’s own"
    if not reason:
        return None
    return Fault(role.template, role.name, reason, "Use another role, or create one for this.")


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
    found = [_fault(there, role, *row) for oid, *row in rows for role in known[oid]]
    later = [one for one in defaults(there, list(known)) if one.grantee_oid in known]
    return found + [
        Fault(
            role.template, role.name, f"will hold {one.things.lower()} that {one.owner} makes WITH GRANT OPTION",
            one.revoke("GRANT OPTION FOR "),
        )
        for one in later for role in known[one.grantee_oid]
    ]  # fmt: skip


def _fault(there: Server, role: Above, what: str, type_: str, identity: str) -> Fault:
    database, keeper = there.connection.info.dbname, parameters_of(there.place).reassign_to
    name = sql.Identifier(role.name).as_string()
    inside = f"(in database {database})"
    if what == "owns":
        owner = sql.Identifier(keeper).as_string()
        fix = f"ALTER {type_.upper()} {identity} OWNER TO {owner}; -- or to whom it belongs"
        return Fault(role.template, role.name, f"owns {type_} {identity} {inside}", fix)
    if what == "system":
        fix = f"REVOKE ALTER SYSTEM ON PARAMETER {identity} FROM {name};"
        return Fault(role.template, role.name, f"can change {identity} for the whole server", fix)
    if what == "jobs":
        return Fault(
            role.template, role.name, f"can use schema {identity}, which schedules jobs {inside}",
            f"REVOKE ALL ON SCHEMA {identity} FROM {name};",
        )  # fmt: skip
    fix = f"REVOKE GRANT OPTION FOR ALL ON {grant_word(type_)} {identity} FROM {name} CASCADE;"
    return Fault(role.template, role.name, f"holds {type_} {identity} WITH GRANT OPTION {inside}", fix)


def refuse_faults(server: Server, templates: Sequence[str], budget: Budget) -> None:
    """Raises ConnectorError, for good, when one of the templates is missing or could be handed on."""
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
            f"{server.place.target.name}: no grant may use the role {found[0].template}: {found[0]}, so its holder could "
            f"leave something behind. An administrator must run: {found[0].fix}",
            permanent=True,
        )
