"""Replication slots that sessions of a grant's role hold.

A replication slot outlives its session, and retains the server's WAL until it is dropped. The system catalog
records no owner of a slot, only the session that uses it. So a slot is saved in the role's comment before
that session is terminated, and looked up again at each attempt to end the grant.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import LiteralString

from psycopg import sql

from sessions_app.connectors.base import ConnectorError
from sessions_app.connectors.postgres.connection import CollisionError, Server
from sessions_app.connectors.postgres.facts import RoleFacts

_HELD: LiteralString = """
SELECT s.slot_name::text FROM pg_replication_slots s LEFT JOIN pg_stat_activity a ON a.pid = s.active_pid
WHERE NOT s.temporary AND (a.usesysid = ANY (%s) OR s.slot_name = ANY (%s)) ORDER BY 1
"""


def held_slots(server: Server, found: Mapping[str, RoleFacts], oids: Sequence[int]) -> list[str]:
    """Return the slots that sessions of the roles hold, or held at an earlier attempt.

    Raises ConnectorError.
    """
    commented = [facts for facts in found.values() if facts.comment]
    known = [slot for facts in commented for slot in (facts.comment.slots if facts.comment else ())]
    held: list[str] = [row[0] for row in server.rows(_HELD, (list(oids), known))]
    if set(held) - set(known):
        for facts in commented:
            _write_down(server, facts, held)
    return held


def _write_down(server: Server, facts: RoleFacts, held: Sequence[str]) -> None:
    if facts.comment:
        text = replace(facts.comment, slots=tuple(held)).text()
        server.run(sql.SQL("COMMENT ON ROLE {} IS {}").format(sql.Identifier(facts.name), sql.Literal(text)))


def drop_slots(server: Server, slots: Sequence[str]) -> int:
    """Drop slots and return their number.

    Raises ConnectorError if only an administrator can drop a slot.
    """
    for slot in slots:
        try:
            server.run("SELECT pg_drop_replication_slot(%s)", (slot,))
        except CollisionError:
            raise
        except ConnectorError as error:
            fix = sql.SQL("SELECT pg_drop_replication_slot({});").format(sql.Literal(slot)).as_string()
            raise ConnectorError(
                f"{error} An administrator must run: {fix}", permanent=error.permanent
            ) from None
    return len(slots)
