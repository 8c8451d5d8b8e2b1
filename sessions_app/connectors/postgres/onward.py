"""What is certain to be the holder's and would stay when the roles go: privileges that the grant's own roles gave others, code of
theirs, and foreign keys from their tables, which keep others from changing rows.

Code is functions, procedures, aggregates and operators. What a holder copied is kept, and a function would open it to everybody as
whoever keeps it; what has the name of something of the server's own runs as whoever comes by it, superusers among them.

All of it is the act of roles that nobody else ever has, and that own what it rests on; so it is undone without a question.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import LiteralString

from psycopg import sql

from sessions_app.connectors.base import ConnectorError
from sessions_app.connectors.postgres.connection import Server
from sessions_app.connectors.postgres.reach import ACLS, grant_word, grantee_word

# Anybody may make large objects, or tables where PUBLIC may, by the ten thousand, and give each away.
BATCH = 500
# So much of a holder's code is named where others made something with it.
TOLD = 5

_GIVEN = sql.SQL(
    """
WITH {}
SELECT DISTINCT i.type, i.identity, coalesce(e.rolname::text, 'public')
FROM acls, aclexplode(acl) a LEFT JOIN pg_roles e ON e.oid = a.grantee, pg_identify_object(classid, objid, 0) i
WHERE a.grantor = ANY (%(oids)s) AND a.grantee <> ALL (%(oids)s) ORDER BY 3, 1, 2
"""
).format(sql.SQL(ACLS))
# What an extension brought is the extension's.
_CODE = sql.SQL("""
WITH {}
SELECT i.type, i.identity FROM mine m, pg_identify_object(m.classid, m.objid, 0) i
WHERE m.deptype = 'o' AND m.classid IN ('pg_proc'::regclass, 'pg_operator'::regclass) AND NOT EXISTS (
    SELECT FROM pg_depend d WHERE d.classid = m.classid AND d.objid = m.objid AND d.deptype = 'e') ORDER BY 1, 2
""").format(sql.SQL(ACLS))
# What others made that rests on it, at any remove: it would go as well, columns with their values among it. A trigger may go.
_RESTING = sql.SQL("""
WITH RECURSIVE {}, rest(classid, objid) AS (
    SELECT classid, objid FROM mine WHERE deptype = 'o' AND classid IN ('pg_proc'::regclass, 'pg_operator'::regclass)
    UNION SELECT n.classid, n.objid FROM rest r, LATERAL (
        SELECT d.classid, d.objid FROM pg_depend d WHERE d.refclassid = r.classid AND d.refobjid = r.objid AND d.deptype IN ('n', 'a')
        UNION ALL SELECT 'pg_class'::regclass, w.ev_class FROM pg_rewrite w WHERE r.classid = 'pg_rewrite'::regclass AND w.oid = r.objid) n),
owners(classid, objid, owner) AS (
    SELECT r.classid, r.objid, c.relowner FROM rest r JOIN pg_class c ON c.oid = CASE r.classid
        WHEN 'pg_class'::regclass THEN r.objid
        WHEN 'pg_attrdef'::regclass THEN (SELECT adrelid FROM pg_attrdef WHERE oid = r.objid)
        WHEN 'pg_constraint'::regclass THEN (SELECT conrelid FROM pg_constraint WHERE oid = r.objid)
        WHEN 'pg_policy'::regclass THEN (SELECT polrelid FROM pg_policy WHERE oid = r.objid) END
    UNION ALL SELECT r.classid, r.objid, p.proowner FROM rest r JOIN pg_proc p ON r.classid = 'pg_proc'::regclass AND p.oid = r.objid)
SELECT i.type, i.identity FROM owners, pg_identify_object(classid, objid, 0) i WHERE owner <> ALL (%(oids)s) ORDER BY 2 LIMIT 5
""").format(sql.SQL(ACLS))
_KEYS: LiteralString = """
SELECT i.identity, k.conname::text FROM pg_constraint k JOIN pg_class o ON o.oid = k.conrelid JOIN pg_class c ON c.oid = k.confrelid,
     pg_identify_object('pg_class'::regclass, o.oid, 0) i
WHERE k.contype = 'f' AND k.conparentid = 0 AND o.relowner = ANY (%(oids)s) AND c.relowner <> ALL (%(oids)s) ORDER BY 1, 2
"""
# Up to PostgreSQL 15 a role may give itself to others, and a membership outlives who gave it.
_MEMBERSHIPS: LiteralString = """
SELECT r.rolname::text, e.rolname::text FROM pg_auth_members m
JOIN pg_roles r ON r.oid = m.roleid JOIN pg_roles e ON e.oid = m.member WHERE m.grantor = ANY (%(oids)s) ORDER BY 1, 2
"""


def revoke_onward(there: Server, oids: Sequence[int]) -> list[str]:
    """Undo in one database what the roles left on what is not theirs, and what they gave of what is; return it in words.

    Has to come before what they own is given away: only the owner's privileges are enough for it. Raises ConnectorError.
    """
    done = [*_privileges(there, oids), *_code(there, oids)]
    for identity, name in there.rows_by_names(_KEYS, {"oids": list(oids)}):
        there.run(
            sql.SQL("ALTER TABLE {} DROP CONSTRAINT {} CASCADE").format(
                _spelt(identity), sql.Identifier(name)
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
        for start in range(0, len(identities), BATCH):
            names = sql.SQL(", ").join(map(_spelt, identities[start : start + BATCH]))
            there.run(
                sql.SQL("REVOKE ALL ON {} {} FROM {} CASCADE").format(
                    _spelt(word), names, _spelt(grantee_word(grantee))
                )
            )
        yield f"privileges of {grantee} on {len(identities)} × {word.lower()}"


def _code(there: Server, oids: Sequence[int]) -> Iterator[str]:
    """A trigger on somebody else's table is theirs to drop; with its function it goes whoever owns the table."""
    asked = {"oids": list(oids), "shared": False, "like": ["%"]}
    dropped: dict[str, list[str]] = defaultdict(list)
    for type_, identity in there.rows_by_names(_CODE, asked):
        dropped["OPERATOR" if type_ == "operator" else "ROUTINE"].append(identity)
        yield f"{type_} {identity}"
    if dropped and (resting := there.rows_by_names(_RESTING, asked)):
        raise _rested_on(there, resting, dropped)
    for word, identities in dropped.items():
        for start in range(0, len(identities), BATCH):
            names = sql.SQL(", ").join(map(_spelt, identities[start : start + BATCH]))
            # With one goes what rests on it, others of these among them.
            _drop(there, sql.SQL("DROP {} IF EXISTS {} CASCADE").format(_spelt(word), names))


def _drop(there: Server, statement: sql.Composed) -> None:
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
        f"{there.place.target.name}: in database {there.connection.info.dbname} other roles made {what} with code of the grant's "
        f"holder, which would be dropped too. An administrator must drop them, or change the owner of the code: {mine}",
        permanent=True,
    )


def revoke_onward_memberships(server: Server, oids: Sequence[int]) -> list[str]:
    """Revoke the memberships that the roles gave. Raises ConnectorError that says what an administrator has to run."""
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
        done.append(f"{member} as a member of {role}")
    return done


def _spelt(text: str) -> sql.SQL:
    """What PostgreSQL itself has written, with its own quotes."""
    return sql.SQL(text)  # type: ignore[arg-type]  # no literal: it comes from pg_identify_object
