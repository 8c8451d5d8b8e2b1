"""What is certain to be the holder's and would stay when the roles go: privileges that the grant's own roles gave others, triggers
with a function of theirs, and foreign keys from their tables, which keep others from changing rows.

All of it is the act of roles that nobody else ever has, and that own what it rests on; so it is undone without a question.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import LiteralString

from psycopg import sql

from sessions_app.connectors.base import ConnectorError
from sessions_app.connectors.postgres.connection import Server
from sessions_app.connectors.postgres.reach import ACLS, grant_word, grantee_word

# Anybody may make large objects, or tables where PUBLIC may, by the ten thousand, and give each away.
BATCH = 500

_GIVEN = sql.SQL(
    """
WITH {}
SELECT DISTINCT i.type, i.identity, coalesce(e.rolname::text, 'public')
FROM acls, aclexplode(acl) a LEFT JOIN pg_roles e ON e.oid = a.grantee, pg_identify_object(classid, objid, 0) i
WHERE a.grantor = ANY (%(oids)s) AND a.grantee <> ALL (%(oids)s) ORDER BY 3, 1, 2
"""
).format(sql.SQL(ACLS))
_TRIGGER_FUNCTIONS: LiteralString = """
SELECT DISTINCT i.identity FROM pg_trigger t JOIN pg_proc p ON p.oid = t.tgfoid JOIN pg_class c ON c.oid = t.tgrelid,
     pg_identify_object('pg_proc'::regclass, p.oid, 0) i
WHERE p.proowner = ANY (%(oids)s) AND c.relowner <> ALL (%(oids)s) ORDER BY 1
"""
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


def take_back(there: Server, oids: Sequence[int]) -> list[str]:
    """Undo in one database what the roles left on what is not theirs, and what they gave of what is; return it in words.

    Has to come before what they own is given away: only the owner's privileges are enough for it. Raises ConnectorError.
    """
    done = list(_privileges(there, oids))
    for (identity,) in there.rows_by_names(_TRIGGER_FUNCTIONS, {"oids": list(oids)}):
        # A trigger is its table's owner's to drop; with its function it goes whoever owns the table.
        there.run(sql.SQL("DROP FUNCTION {} CASCADE").format(_spelt(identity)))
        done.append(f"trigger function {identity}")
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


def take_back_memberships(server: Server, oids: Sequence[int]) -> list[str]:
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
                f"{error} Let an administrator run: {statement.as_string()};", permanent=True
            ) from None
        done.append(f"{member} as a member of {role}")
    return done


def _spelt(text: str) -> sql.SQL:
    """What PostgreSQL itself has written, with its own quotes."""
    return sql.SQL(text)  # type: ignore[arg-type]  # no literal: it comes from pg_identify_object
