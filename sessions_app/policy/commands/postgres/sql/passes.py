"""Statements that pass without being commands: transaction control, harmless settings and cursors."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import postgast
from postgast.pg_query_pb2 import Node, ParseResult, RawStmt, TransactionStmtKind, VariableSetKind

from sessions_app.policy.commands.characters import clip
from sessions_app.policy.commands.postgres.sql.parsing import SQLRefused

Effect = Literal[
    "begin",
    "commit",
    "rollback",
    "savepoint",
    "release",
    "rollback to",
    "setting",
    "fetch",
    "close",
    "empty",
]

# Settings that a client may change: none affects a decision; some affect how values are printed.
SETTINGS = frozenset(
    (
        "application_name",
        "bytea_output",
        "client_min_messages",
        "datestyle",
        "extra_float_digits",
        "idle_in_transaction_session_timeout",
        "intervalstyle",
        "lock_timeout",
        "statement_timeout",
        "timezone",
    )
)
_SHOWN = SETTINGS | frozenset(
    (
        "client_encoding",
        "max_identifier_length",
        "search_path",
        "server_encoding",
        "server_version",
        "server_version_num",
        "standard_conforming_strings",
        "transaction_isolation",
        "transaction_read_only",
    )
)
_TRANSACTIONS: Mapping[int, Effect] = {
    TransactionStmtKind.TRANS_STMT_BEGIN: "begin",
    TransactionStmtKind.TRANS_STMT_START: "begin",
    TransactionStmtKind.TRANS_STMT_COMMIT: "commit",
    TransactionStmtKind.TRANS_STMT_ROLLBACK: "rollback",
    TransactionStmtKind.TRANS_STMT_SAVEPOINT: "savepoint",
    TransactionStmtKind.TRANS_STMT_RELEASE: "release",
    TransactionStmtKind.TRANS_STMT_ROLLBACK_TO: "rollback to",
}
_REASONS: Mapping[str, str] = {
    "copy_stmt": "COPY is not allowed: use SELECT or INSERT",
    "explain_stmt": "EXPLAIN is not allowed: EXPLAIN ANALYZE runs the statement",
    "lock_stmt": "LOCK is not allowed: it blocks other sessions",
    "do_stmt": "DO is not allowed: it runs code that no one has reviewed",
    "prepare_stmt": "PREPARE is not allowed: use the prepared statements of your driver",
    "execute_stmt": "EXECUTE is not allowed: use the prepared statements of your driver",
    "discard_stmt": "DISCARD is not allowed: connect again instead",
    "listen_stmt": "LISTEN is not allowed",
    "unlisten_stmt": "UNLISTEN is not allowed",
    "notify_stmt": "NOTIFY is not allowed",
    "truncate_stmt": "TRUNCATE is not allowed",
    "merge_stmt": "MERGE is not allowed: use INSERT, UPDATE or DELETE",
    "grant_stmt": "privileges can't be changed here",
    "grant_role_stmt": "privileges can't be changed here",
    "alter_role_stmt": "roles can't be changed here",
}


@dataclass(frozen=True, slots=True)
class Passes:
    """A statement that may be sent although it is not a command.

    ``text`` is the SQL to send. ``savepoint`` and ``cursor`` are the names of what it concerns; a CLOSE ALL
    has no name.
    """

    text: str
    effect: Effect
    savepoint: str = ""
    cursor: str = ""


def read_pass(raw: RawStmt) -> Passes | None:
    """Return a statement that passes without being a command; None if a command must allow it.

    Raises SQLRefused for a statement that no command can allow.
    """
    kind = raw.stmt.WhichOneof("node") or ""
    if kind in (
        "select_stmt",
        "insert_stmt",
        "update_stmt",
        "delete_stmt",
        "call_stmt",
        "declare_cursor_stmt",
    ):
        return None
    read = _READERS.get(kind)
    if read is None:
        raise SQLRefused(_REASONS.get(kind, "this kind of statement is not allowed"))
    node = getattr(raw.stmt, kind)
    return Passes(
        _text(raw.stmt),
        read(node),
        raw.stmt.transaction_stmt.savepoint_name,
        getattr(node, "portalname", ""),
    )


def _text(node: Node) -> str:
    return postgast.deparse(ParseResult(version=180004, stmts=[RawStmt(stmt=node)]))


def _transaction(node: Any) -> Effect:
    if node.kind not in _TRANSACTIONS:
        raise SQLRefused("prepared transactions are not allowed: they outlive the session")
    if node.chain:
        raise SQLRefused("AND CHAIN is not allowed: use BEGIN")
    return _TRANSACTIONS[node.kind]


def _set(node: Any) -> Effect:
    if node.kind == VariableSetKind.VAR_SET_MULTI and node.name in ("TRANSACTION", "SESSION CHARACTERISTICS"):
        return "setting"
    if node.kind in (VariableSetKind.VAR_RESET_ALL, VariableSetKind.VAR_SET_MULTI):
        raise SQLRefused("change or reset settings one by one, by their names")
    if node.name.lower() not in SETTINGS:
        raise SQLRefused(f"the setting {clip(node.name)} can't be changed here")
    return "setting"


def _show(node: Any) -> Effect:
    if node.name.lower() not in _SHOWN:
        raise SQLRefused(f"the setting {clip(node.name)} can't be shown here")
    return "setting"


_READERS: Mapping[str, Callable[[Any], Effect]] = {
    "transaction_stmt": _transaction,
    "variable_set_stmt": _set,
    "variable_show_stmt": _show,
    "deallocate_stmt": lambda _: "setting",
    "fetch_stmt": lambda _: "fetch",
    "close_portal_stmt": lambda _: "close",
}
