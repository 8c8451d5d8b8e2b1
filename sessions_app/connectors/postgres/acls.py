"""Privileges on objects that roles own or that name the roles, and the privileges that these roles
granted to others.

pg_shdepend, shared by all databases, lists such objects. Sources: PostgreSQL's pg_shdepend, aclexplode,
GRANT.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, LiteralString

from psycopg import sql

from sessions_app.connectors.postgres.connection import Server
from sessions_app.connectors.postgres.defaults import grantee_word
from sessions_app.connectors.postgres.parameters import parameters_of

# Names that appear without quotes in the text of a privilege.
_PLAIN = re.compile(r"[a-zA-Z0-9_]+")
# Types that pg_identify_object and GRANT name differently.
_WORDS = {
    "view": "TABLE",
    "materialized view": "TABLE",
    "foreign table": "TABLE",
    "aggregate": "FUNCTION",
    "foreign-data wrapper": "FOREIGN DATA WRAPPER",
    "server": "FOREIGN SERVER",
    "parameter acl": "PARAMETER",
}
# The objects that one of the roles owns, or whose privileges name it, with these privileges. Objects that all
# databases share are listed in only one database. For owned tables, all columns are read, because a grant on
# a column is not recorded under the table's owner. By default, everyone can execute a function: these
# privileges are not stored, and are read as if they were. ``like`` filters the kinds of objects that can be
# very numerous, by the text of their privileges.
_MINE: LiteralString = """
SELECT classid, objid, objsubid, refobjid, deptype FROM pg_shdepend
    WHERE refclassid = 'pg_authid'::regclass AND refobjid = ANY (%(oids)s)
    AND (dbid = (SELECT oid FROM pg_database WHERE datname = current_database()) OR (dbid = 0 AND %(shared)s))
"""
_ACLS: LiteralString = """
named AS (SELECT classid, objid, objsubid, deptype FROM mine WHERE deptype IN ('o', 'a')),
acls(classid, objid, objsubid, acl) AS (
    SELECT n.classid, n.objid, n.objsubid, o.relacl FROM named n JOIN pg_class o
        ON n.classid = 'pg_class'::regclass AND o.oid = n.objid AND n.objsubid = 0
    WHERE o.relacl::text LIKE ANY (%(like)s)
    UNION ALL SELECT n.classid, n.objid, n.objsubid, o.attacl FROM named n JOIN pg_attribute o
        ON n.classid = 'pg_class'::regclass AND o.attrelid = n.objid AND o.attnum = n.objsubid
    WHERE n.objsubid <> 0
    UNION ALL SELECT n.classid, n.objid, o.attnum::int, o.attacl FROM named n JOIN pg_attribute o
        ON n.classid = 'pg_class'::regclass AND o.attrelid = n.objid AND o.attacl IS NOT NULL
    WHERE n.deptype = 'o'
    UNION ALL SELECT n.classid, n.objid, n.objsubid, f.acl FROM named n JOIN pg_proc o
        ON n.classid = 'pg_proc'::regclass AND o.oid = n.objid,
        coalesce(o.proacl, acldefault('f', o.proowner)) f(acl) WHERE f.acl::text LIKE ANY (%(like)s)
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


def _acls(more: sql.Composable = sql.SQL("")) -> sql.Composed:  # noqa: B008 - immutable
    """Return the queries `mine`, `named` and `acls` for a WITH clause.

    ``more`` is a UNION that adds to `mine`.
    """
    return sql.SQL("mine AS MATERIALIZED ({} {}), {}").format(sql.SQL(_MINE), more, sql.SQL(_ACLS))


ACLS = _acls()
# Objects owned by built-in roles. pg_shdepend omits them, because built-in roles can't be dropped.
_FIXED = sql.SQL("""
UNION ALL SELECT classid, objid, 0, owner, 'o' FROM ({}) o(owner, classid, objid)
WHERE owner = ANY (%(fixed)s)
AND NOT EXISTS (SELECT FROM pg_class c WHERE classid = 'pg_class'::regclass AND c.oid = objid
    AND c.relkind IN ('i', 'I', 't', 'c'))
AND NOT EXISTS (SELECT FROM pg_type t LEFT JOIN pg_class c ON c.oid = t.typrelid
    WHERE classid = 'pg_type'::regclass AND t.oid = objid
    AND (c.relkind <> 'c' OR t.typcategory = 'A' OR t.typtype = 'm'))
""").format(
    sql.SQL(" UNION ALL ").join(
        sql.SQL("SELECT {}, {}::regclass, oid FROM {}").format(
            sql.Identifier(owner), sql.Literal(catalog), sql.Identifier(catalog)
        )
        for catalog, owner in {
            "pg_class": "relowner",
            "pg_proc": "proowner",
            "pg_type": "typowner",
            "pg_namespace": "nspowner",
            "pg_operator": "oprowner",
            "pg_largeobject_metadata": "lomowner",
            "pg_foreign_server": "srvowner",
            "pg_collation": "collowner",
            "pg_conversion": "conowner",
            "pg_ts_config": "cfgowner",
            "pg_ts_dict": "dictowner",
            "pg_publication": "pubowner",
            "pg_extension": "extowner",
        }.items()
    )
)
WITH_FIXED = _acls(_FIXED)
_GIVEN = sql.SQL("""
WITH {}
SELECT a.grantor::bigint,
       string_agg(DISTINCT a.privilege_type || coalesce(' (' || quote_ident(c.attname) || ')', ''), ', '),
       i.type, i.identity, coalesce(e.rolname::text, 'public') AS grantee
FROM acls LEFT JOIN pg_attribute c ON classid = 'pg_class'::regclass AND c.attrelid = objid
    AND c.attnum = objsubid AND objsubid <> 0,
     aclexplode(acl) a LEFT JOIN pg_roles e ON e.oid = a.grantee, pg_identify_object(classid, objid, 0) i
WHERE a.grantor = ANY (%(oids)s) AND a.grantor <> a.grantee GROUP BY 1, 3, 4, 5 ORDER BY 4, 5
""")


@dataclass(frozen=True, slots=True)
class Given:
    """Privileges on one object that one role granted to another, as GRANT spells them."""

    giver_oid: int
    giver: str
    privileges: str
    type: str
    identity: str
    grantee: str

    @property
    def text(self) -> str:
        """A description of the grant."""
        return f"{self.giver} granted {self.privileges} on {self.type} {self.identity} to {self.grantee}"

    @property
    def taking(self) -> str:
        """The SQL that revokes the privileges, for the owner or for a superuser acting as the owner."""
        word = grant_word(self.type)
        return (
            f"REVOKE {self.privileges} ON {word} {self.identity} FROM {grantee_word(self.grantee)} CASCADE;"
        )

    def revoke(self) -> str:
        """Return the SQL that revokes the privileges as the role that granted them."""
        return f"SET ROLE {sql.Identifier(self.giver).as_string()}; {self.taking} RESET ROLE;"


def grant_word(type_: str) -> str:
    """Return the keyword of GRANT and REVOKE for an object type of pg_identify_object."""
    return _WORDS.get(type_.lower(), type_.upper())


def asking(there: Server, oids: Sequence[int]) -> dict[str, Any]:
    """Return the values for `ACLS` in a database. They make sure that objects shared by all databases are
    listed only once.
    """
    return {"oids": list(oids), "shared": there.connection.info.dbname == parameters_of(there.place).database}


def given_by(names: Collection[str]) -> list[str]:
    """Return LIKE patterns for the text of privileges that one of the roles granted.

    The patterns may also match other privileges.
    """
    plain = [name.replace("_", r"\_") for name in names if _PLAIN.fullmatch(name)]
    return [f"%/{name}%" for name in plain] if len(plain) == len(names) else ["%"]


Gifts = Mapping[tuple[int, str, str], Sequence[Given]]


def given(there: Server, roles: Mapping[int, str], fixed: Sequence[int] = ()) -> list[Given]:
    """Return what the roles granted to others in a database.

    ``fixed`` contains the roles among them that are built in and could own something. Raises ConnectorError.
    """
    values = {**asking(there, list(roles)), "like": given_by(list(roles.values())), "fixed": list(fixed)}
    rows = there.rows_by_names(_GIVEN.format(WITH_FIXED if fixed else ACLS), values)
    return [Given(oid, roles[oid], *row) for oid, *row in rows]


def by_object(gifts: Sequence[Given]) -> Gifts:
    """Return grants by grantor, and by the type and identity of the object."""
    found: dict[tuple[int, str, str], list[Given]] = defaultdict(list)
    for one in gifts:
        found[one.giver_oid, one.type, one.identity].append(one)
    return found


def owner_fix(there: Server, type_: str, identity: str, gifts: Sequence[Given]) -> str:
    """Return the SQL that gives an object to the keeper, after its owner's grants (``gifts``) on it are
    revoked.

    A change of owner also changes the grantor: afterward, the grants would appear to be the keeper's own.
    """
    keeper = sql.Identifier(parameters_of(there.place).reassign_to).as_string()
    return " ".join([*(one.taking for one in gifts), f"ALTER {type_.upper()} {identity} OWNER TO {keeper};"])
