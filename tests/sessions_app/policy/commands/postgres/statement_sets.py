"""Command sets of statements for these tests."""

from typing import Any

from sessions_app.policy.commands.kinds import compile_open, compile_set, parse_document

UPDATE: dict[str, Any] = {
    "sql": "UPDATE app.orders SET status = {status} WHERE id = {id}",
    "where": {"status": {"choice": ["open", "paid"]}, "id": {"int": [1, 1000]}},
    "effect": "change",
    "max_rows": 1,
}
INSERT: dict[str, Any] = {
    "sql": "INSERT INTO app.notes (order_id, body) VALUES ({id}, {body}) RETURNING id",
    "where": {"id": {"int": [1, 1000]}, "body": {"pattern": "[a-z' ]{1,40}"}},
    "effect": "change",
}
DELETE: dict[str, Any] = {
    "sql": "DELETE FROM app.notes WHERE id = {id}",
    "where": {"id": {"int": [1, 1000]}},
    "effect": "destructive",
    "hold": True,
}
SELECT: dict[str, Any] = {
    "select": {
        "tables": ["app.orders", "app.customers"],
        "columns": ["orders.id", "orders.status", "orders.total", "customers.id", "customers.name"],
        "where": "required",
        "limit": 100,
    },
    "effect": "read",
}
CALL: dict[str, Any] = {"call": "app.refund({id})", "where": {"id": {"int": [1, 1000]}}, "effect": "change"}
EVERY = (UPDATE, INSERT, DELETE, SELECT, CALL)


def statements(*commands: dict[str, Any], **fields: Any) -> Any:
    """A document of these commands, whose names without a schema are in `app`."""
    made = [{"effect": "change", **one} for one in commands]
    about = {"name": "a-set", "kind": "postgres", "summary": "s", "risk": "low", "schema": "app"}
    return parse_document({**about, **fields, "commands": made})


def compiled(*commands: dict[str, Any], values: dict[str, str] | None = None, **fields: Any) -> Any:
    """The compiled set of these commands, open unless values are given."""
    document = statements(*commands, **fields)
    return compile_open(document) if values is None else compile_set(document, values)
