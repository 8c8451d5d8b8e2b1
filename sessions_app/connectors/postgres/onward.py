"""Remove what only the holder can have created and would outlive the grant's roles.

These are privileges that the roles granted to others, their code, and foreign keys from their tables, which
prevent others from changing rows. Code means functions, procedures, aggregates and operators. Data that a
holder copied is kept, and a function could expose it to everyone as the role that keeps it. Code with the
name of a built-in function runs with the privileges of anyone who calls it by accident, including superusers.
All of this was created by roles that no one else ever has, and depends on objects that they own, so it is
removed without a review.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import LiteralString

from psycopg import sql

from sessions_app.connectors.base import ConnectorError
from sessions_app.connectors.postgres.acls import ACLS, grant_word
from sessions_app.connectors.postgres.connection import Server
from sessions_app.connectors.postgres.defaults import grantee_word

# Anyone can create tens of thousands of large objects, or of tables where PUBLIC can, and grant privileges on
# each. Each dropped object stays in the server's lock table until the transaction ends. So each batch is its
# own transaction: it fits in any lock table, and an attempt that does not finish still makes progress.
BATCH = 100
# The maximum number of names of a holder's code that are reported if others created objects that depend on
# the code.
TOLD = 5

_GIVEN = sql.SQL("""
WITH {}
SELECT DISTINCT i.type, i.identity, coalesce(e.rolname::text, 'public')
FROM acls, aclexplode(acl) a LEFT JOIN pg_roles e ON e.oid = a.grantee,
     pg_identify_object(classid, objid, 0) i
WHERE a.grantor = ANY (%(oids)s) AND a.grantee <> ALL (%(oids)s) ORDER BY 3, 1, 2
""").format(ACLS)
# The owner of an extension can add code to it. That code can then be dropped only with the extension, until
# it is removed from the extension.
_CODE = sql.SQL("""
WITH {}
SELECT i.type, i.identity, quote_ident(x.extname) FROM mine m
LEFT JOIN pg_depend d ON d.classid = m.classid AND d.objid = m.objid AND d.deptype = 'e'
LEFT JOIN pg_extension x ON d.refclassid = 'pg_extension'::regclass AND x.oid = d.refobjid,
     pg_identify_object(m.classid, m.objid, 0) i
WHERE m.deptype = 'o' AND m.classid IN ('pg_proc'::regclass, 'pg_operator'::regclass) ORDER BY 1, 2
""").format(ACLS)
# Objects of others that depend on the code, directly or indirectly. They would also be dropped,
# including columns with their values. Only triggers may be dropped.
_RESTING = sql.SQL("""
WITH RECURSIVE {}, rest(classid, objid) AS (
    SELECT classid, objid FROM mine
    WHERE deptype = 'o' AND classid IN ('pg_proc'::regclass, 'pg_operator'::regclass)
    UNION SELECT n.classid, n.objid FROM rest r, LATERAL (
        SELECT d.classid, d.objid FROM pg_depend d
            WHERE d.refclassid = r.classid AND d.refobjid = r.objid AND d.deptype IN ('n', 'a')
        UNION ALL SELECT 'pg_class'::regclass, w.ev_class FROM pg_rewrite w
            WHERE r.classid = 'pg_rewrite'::regclass AND w.oid = r.objid) n),
owners(classid, objid, owner) AS (
    SELECT r.classid, r.objid, c.relowner FROM rest r JOIN pg_class c ON c.oid = CASE r.classid
        WHEN 'pg_class'::regclass THEN r.objid
        WHEN 'pg_attrdef'::regclass THEN (SELECT adrelid FROM pg_attrdef WHERE oid = r.objid)
        WHEN 'pg_constraint'::regclass THEN (SELECT conrelid FROM pg_constraint WHERE oid = r.objid)
        WHEN 'pg_policy'::regclass THEN (SELECT polrelid FROM pg_policy WHERE oid = r.objid) END
    UNION ALL SELECT r.classid, r.objid, p.proowner FROM rest r
        JOIN pg_proc p ON r.classid = 'pg_proc'::regclass AND p.oid = r.objid)
SELECT i.type, i.identity FROM owners, pg_identify_object(classid, objid, 0) i WHERE owner <> ALL (%(oids)s)
ORDER BY 2 LIMIT 5
""").format(ACLS)
_KEYS: LiteralString = """
SELECT i.identity, k.conname::text FROM pg_constraint k JOIN pg_class o ON o.oid = k.conrelid
     JOIN pg_class c ON c.oid = k.confrelid,
     pg_identify_object('pg_class'::regclass, o.oid, 0) i
WHERE k.contype = 'f' AND k.conparentid = 0 AND o.relowner = ANY (%(oids)s) AND c.relowner <> ALL (%(oids)s)
ORDER BY 1, 2
"""
# Up to PostgreSQL 15 a role can grant itself to others, and a membership outlives its grantor.
_MEMBERSHIPS: LiteralString = """
SELECT r.rolname::text, e.rolname::text FROM pg_auth_members m
JOIN pg_roles r ON r.oid = m.roleid JOIN pg_roles e ON e.oid = m.member WHERE m.grantor = ANY (%(oids)s)
ORDER BY 1, 2
"""


def revoke_onward(there: Server, oids: Sequence[int]) -> list[str]:
    """Remove, in one database, what the roles granted, and what they left on other owners' objects.

    Return descriptions.

    Must run before their objects are reassigned, because it needs the owner's privileges. Each statement is
    its own transaction, so earlier ones persist if a later one fails. Raises ConnectorError.
    """
    done = [*_privileges(there, oids), *_code(there, oids)]
    for identity, name in there.rows_by_names(_KEYS, {"oids": list(oids)}):
        there.run(
            sql.SQL("ALTER TABLE {} DROP CONSTRAINT {} CASCADE").format(
                spelled(identity), sql.Identifier(name)
            )
        )
        done.append(f"foreign key {name} of {identity}")
    return done


def _privileges(there: Server, oids: Sequence[int]) -> Iterator[str]:
    given: dict[tuple[str, str], list[str]] = defaultdict(list)
    for type_, identity, grantee in there.rows_by_names(
        _GIVEN, {"oids": list(oids), "shared": True, "like": ["%"]}
    ):
        given[grant_word(type_), grantee].append(identity)
    for (word, grantee), identities in given.items():
        for names in _batches(identities):
            taken = sql.SQL("REVOKE ALL ON {} {} FROM {} CASCADE")
            _run_or_tell(
                there,
                taken.format(spelled(word), sql.SQL(", ").join(names), spelled(grantee_word(grantee))),
            )
        yield f"privileges of {grantee} on {len(identities)} × {word.lower()}"


def _batches(texts: Sequence[str]) -> Iterator[list[sql.SQL]]:
    for start in range(0, len(texts), BATCH):
        yield [spelled(text) for text in texts[start : start + BATCH]]


def _code(there: Server, oids: Sequence[int]) -> list[str]:
    """Drop the roles' code and return descriptions.

    Only a table's owner can drop its triggers, but they are dropped with their function.
    """
    asked = {"oids": list(oids), "shared": False, "like": ["%"]}
    found = there.rows_by_names(_CODE, asked)
    code: dict[str, list[str]] = defaultdict(list)
    for type_, identity, _ in found:
        code[_word(type_)].append(identity)
    if code and (resting := there.rows_by_names(_RESTING, asked)):
        raise _rested_on(there, resting, code)
    members = [f"ALTER EXTENSION {into} DROP {_word(type_)} {one}" for type_, one, into in found if into]
    for statements in _batches(members):
        _run_or_tell(there, sql.SQL("; ").join(statements))
    for word, identities in code.items():
        for names in _batches(identities):
            # Dropping an object also drops its dependents, which may also be in the list.
            dropped = sql.SQL("DROP {} IF EXISTS {} CASCADE")
            _run_or_tell(there, dropped.format(spelled(word), sql.SQL(", ").join(names)))
    return [f"{type_} {identity}" for type_, identity, _ in found]


def _word(type_: str) -> str:
    return "OPERATOR" if type_ == "operator" else "ROUTINE"


def _run_or_tell(there: Server, statement: sql.Composed) -> None:
    try:
        there.run(statement)
    except ConnectorError as error:
        if not error.permanent:
            raise
        where = there.connection.info.dbname
        raise ConnectorError(
            f"{error} An administrator must run in database {where}: {statement.as_string()};", permanent=True
        ) from None


def _rested_on(
    there: Server, resting: Sequence[tuple[str, str]], code: Mapping[str, Sequence[str]]
) -> ConnectorError:
    what = ", ".join(f"{type_} {identity}" for type_, identity in resting)
    mine = " ".join(f"ALTER {word} {one} OWNER TO …;" for word, names in code.items() for one in names[:TOLD])
    return ConnectorError(
        f"{there.place.target.name}: in database {there.connection.info.dbname} other roles created {what} "
        "that depend on code of the grant's holder, and would be dropped with it. An administrator must "
        "drop them, or "
        f"change the owner of the code: {mine}",
        permanent=True,
    )


def revoke_onward_memberships(server: Server, oids: Sequence[int]) -> list[str]:
    """Revoke the memberships that the roles granted.

    Raises ConnectorError with the SQL that an administrator must run.
    """
    done = []
    for role, member in server.rows_by_names(_MEMBERSHIPS, {"oids": list(oids)}):
        statement = sql.SQL("REVOKE {} FROM {}").format(sql.Identifier(role), sql.Identifier(member))
        try:
            server.run(statement)
        except ConnectorError as error:
            if not error.permanent:
                raise
            raise ConnectorError(
                f"{error} An administrator must run: {statement.as_string()};", permanent=True
            ) from None
        done.append(f"membership of {member} in {role}")
    return done


def spelled(text: str) -> sql.SQL:
    """Return text that PostgreSQL itself has quoted as SQL."""
    return sql.SQL(text)  # type: ignore[arg-type]  # not a literal: it comes from pg_identify_object
