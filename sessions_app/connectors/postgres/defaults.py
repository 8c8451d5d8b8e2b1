"""Default privileges: the privileges that roles get on objects that others create later.

Anyone with a role's privileges can run DROP OWNED BY, which removes the default privileges that name the
role. Sources: PostgreSQL's ALTER DEFAULT PRIVILEGES, DROP OWNED, pg_default_acl.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import LiteralString

from psycopg import sql

from sessions_app.connectors.postgres.connection import Server

# Default privileges that one of the roles grants to others, or that others grant to one of the roles.
_DEFAULTS: LiteralString = """
SELECT r.rolname::text, d.defaclobjtype::text, n.nspname::text, coalesce(e.rolname::text, 'public'),
       a.privilege_type, a.is_grantable
FROM pg_default_acl d JOIN pg_roles r ON r.oid = d.defaclrole
     LEFT JOIN pg_namespace n ON n.oid = d.defaclnamespace,
     aclexplode(d.defaclacl) a LEFT JOIN pg_roles e ON e.oid = a.grantee
WHERE a.grantee <> d.defaclrole AND (d.defaclrole = ANY (%(oids)s) OR a.grantee = ANY (%(oids)s))
ORDER BY 1, 3, 2, 4, 5
"""
_STANDS: LiteralString = """
SELECT (SELECT count(*) FROM pg_roles WHERE rolname = %(owner)s) > 0
   AND (%(schema)s::text IS NULL OR EXISTS (SELECT FROM pg_namespace WHERE nspname = %(schema)s))
   AND (%(grantee)s = 'public' OR EXISTS (SELECT FROM pg_roles WHERE rolname = %(grantee)s))
"""
_LATER = {
    "r": "TABLES",
    "S": "SEQUENCES",
    "f": "FUNCTIONS",
    "T": "TYPES",
    "n": "SCHEMAS",
    "L": "LARGE OBJECTS",
}


@dataclass(frozen=True, slots=True)
class Default:
    """A privilege that ``grantee`` will have on objects that ``owner`` creates.

    If ``schema`` is None, the privilege applies in all schemas.
    """

    owner: str
    type: str
    schema: str | None
    grantee: str
    privilege: str
    grantable: bool

    @property
    def things(self) -> str:
        """The kind of objects, as PostgreSQL writes it: `TABLES`."""
        return _LATER.get(self.type, self.type)

    @property
    def text(self) -> str:
        """The effect of the default privileges, as text."""
        where = self.schema or "every schema"
        return f"{self.owner} grants {self.privilege} on {self.things.lower()} of {where} to {self.grantee}"

    def grant(self) -> str:
        """Return the SQL that grants the privileges again."""
        option = " WITH GRANT OPTION" if self.grantable else ""
        return (
            f"{self._start} GRANT {self.privilege} ON {self.things} TO {grantee_word(self.grantee)}{option};"
        )

    def revoke(self, words: str = "") -> str:
        """Return the SQL that revokes all of the privileges, or only those in ``words``."""
        return (
            f"{self._start} REVOKE {words}{self.privilege} ON {self.things} FROM"
            f" {grantee_word(self.grantee)};"
        )

    @property
    def _start(self) -> str:
        where = f" IN SCHEMA {_name(self.schema)}" if self.schema else ""
        return f"ALTER DEFAULT PRIVILEGES FOR ROLE {_name(self.owner)}{where}"


def _name(name: str) -> str:
    return sql.Identifier(name).as_string()


def grantee_word(name: str) -> str:
    """Return a grantee as GRANT spells it. No role can be named public."""
    return "PUBLIC" if name == "public" else _name(name)


def defaults(there: Server, oids: Collection[int]) -> list[Default]:
    """Return what the roles grant to others on future objects, and what others grant to them.

    Raises ConnectorError.
    """
    return [Default(*row) for row in there.rows_by_names(_DEFAULTS, {"oids": list(oids)})]


def could_stand(there: Server, lost: Sequence[Default]) -> list[Default]:
    """Return the default privileges whose roles and schema still exist.

    The others disappeared with objects that only an administrator can drop. Raises ConnectorError.
    """
    return [
        one
        for one in lost
        if there.row_by_names(_STANDS, {"owner": one.owner, "schema": one.schema, "grantee": one.grantee})[0]
    ]
