"""Prepared transactions of a grant's roles, which outlive their session and keep its locks.

Only the role that prepared a transaction can roll it back, in the same database. So the broker's role
switches to that role. Sources: PostgreSQL's PREPARE TRANSACTION and ROLLBACK PREPARED.
"""

from __future__ import annotations

from collections.abc import Sequence

from psycopg import sql

from sessions_app.connectors.postgres.connection import Budget, Server, connected


def roll_back_prepared(server: Server, roles: Sequence[str], budget: Budget) -> int:
    """Roll back the roles' prepared transactions in every database, and return their number.

    Raises ConnectorError.
    """
    found = server.rows(
        "SELECT database, owner, gid FROM pg_prepared_xacts WHERE owner = ANY (%s) ORDER BY database",
        (list(roles),),
    )
    for database in dict.fromkeys(row[0] for row in found):
        with connected(server.place, budget, database=database) as there:
            for _, owner, gid in (row for row in found if row[0] == database):
                there.run(sql.SQL("SET ROLE {}").format(sql.Identifier(owner)))
                there.run(sql.SQL("ROLLBACK PREPARED {}").format(sql.Literal(gid)))
                there.run("RESET ROLE")
    return len(found)
