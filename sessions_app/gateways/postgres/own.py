"""The gateway's own statements, sent between those of a client.

Of their responses, the client gets only errors.
"""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass, field
from typing import TypeAlias

from sessions_app.gateways.postgres import wire
from sessions_app.gateways.postgres.answers import Expected
from sessions_app.gateways.postgres.sending import Sending
from sessions_app.policy.commands.postgres.sql.expressions import Table
from sessions_app.policy.commands.postgres.sql.pieces import quoted_text

Row: TypeAlias = tuple[str | None, ...]
_FACTS = """
SELECT json_build_object(
  'keys', (SELECT json_agg(a.attname ORDER BY k.at) FROM pg_index i
           CROSS JOIN LATERAL unnest(i.indkey) WITH ORDINALITY AS k (number, at)
           JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.number
           WHERE i.indrelid = c.oid AND i.indisprimary),
  'reads_keys', (SELECT bool_and(has_column_privilege(c.oid, k.number, 'SELECT')) FROM pg_index i
                 CROSS JOIN LATERAL unnest(i.indkey) AS k (number)
                 WHERE i.indrelid = c.oid AND i.indisprimary),
  'triggers', EXISTS (SELECT FROM pg_trigger t WHERE t.tgrelid = c.oid AND NOT t.tgisinternal),
  'cascades', EXISTS (SELECT FROM pg_constraint f WHERE f.confrelid = c.oid AND f.contype = 'f'
                      AND (f.confdeltype IN ('c', 'n', 'd') OR f.confupdtype IN ('c', 'n', 'd'))))::text
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = {} AND c.relname = {}
"""


@dataclass(frozen=True, slots=True)
class TableFacts:
    """Facts about a table, from the server.

    ``keys`` are the columns of its primary key, if the grant's role can read them. ``triggers`` and
    ``cascades``: whether changing a row may also change other rows.
    """

    keys: tuple[str, ...] = ()
    triggers: bool = False
    cascades: bool = False


@dataclass(slots=True)
class Own:
    """Runs the gateway's own statements on one connection."""

    both: Sending
    _secret: str = field(default_factory=lambda: secrets.token_hex(8), init=False)
    _count: int = field(default=0, init=False)

    async def ask(self, text: str, columns: int = 0) -> list[Row] | None:
        """Run a statement that returns this number of columns of text. Return None if it failed, and the
        client got the error, or if the target ignores everything until the next Sync.
        """
        name = self._new_name()
        rows: list[Row] = []
        execute = Expected(
            "execute",
            quiet=wire.DATA_ROW + wire.COMMAND_COMPLETE + wire.EMPTY + wire.SUSPENDED,
            hidden=columns,
            take=lambda values: rows.append(texts(values)),
        )
        self.both.send(wire.parse(name, text), Expected("parse", quiet=wire.PARSE_COMPLETE))
        self.both.send(wire.bind(name, name), Expected("bind", quiet=wire.BIND_COMPLETE))
        # Before it is executed, so that the statement is gone even if that fails.
        self.both.send(wire.close(b"S", name), Expected("close", quiet=wire.CLOSE_COMPLETE))
        if await self.both.answer(wire.execute(name), execute) is None:
            return None
        self.both.send(wire.close(b"P", name), Expected("close", quiet=wire.CLOSE_COMPLETE))
        return rows

    def _new_name(self) -> str:
        """Return a name on the target that no client can have used."""
        self._count += 1
        return f"{self._secret}_{self._count}"

    async def drained(self) -> bool:
        """Wait until everything that was sent has been answered. Return whether it succeeded."""
        message = wire.close(b"P", self._new_name())
        return await self.both.answer(message, Expected("close", quiet=wire.CLOSE_COMPLETE)) is not None

    async def sync(self) -> bytes:
        """Synchronize within a transaction block, and return the transaction's state."""
        self.both.answers.skips = False
        return await self.both.answer(wire.SYNC, Expected("sync", quiet=wire.READY)) or b""

    async def facts(self, table: Table) -> TableFacts | None:
        """Read the facts about a table from the server; None if the target has failed."""
        rows = await self.ask(_FACTS.format(quoted_text(table.schema), quoted_text(table.name)), 1)
        if rows is None:
            return None
        found = json.loads(rows[0][0] or "{}") if rows else {}
        keys = (found.get("keys") or ()) if found.get("reads_keys") else ()
        return TableFacts(tuple(keys), bool(found.get("triggers")), bool(found.get("cascades")))


def texts(values: list[bytes | None]) -> Row:
    """Return values in text form."""
    return tuple(None if value is None else value.decode("utf-8", "replace") for value in values)
