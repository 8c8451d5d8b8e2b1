"""Checks on the parser's nodes: a field that is not read must not be set."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from postgast.pg_query_pb2 import A_Const, Node, ParamRef

from sessions_app.policy.commands.postgres.sql.parsing import SQLRefused
from sessions_app.policy.commands.postgres.sql.pieces import Value, number_text

# The protocol counts parameters in 16 bits.
MAX_PARAMETERS = 65_535
_REASONS: Mapping[str, str] = {
    "with_clause": "WITH is not allowed: one statement must show everything that it does",
    "locking_clause": "locking rows is not allowed: it blocks other sessions",
    "into_clause": "SELECT INTO creates a table: remove INTO",
    "window_clause": "window functions are not allowed",
    "over": "window functions are not allowed",
    "values_lists": "VALUES is only allowed in INSERT",
    "larg": "UNION, INTERSECT and EXCEPT are not allowed",
    "rarg": "UNION, INTERSECT and EXCEPT are not allowed",
    "using_clause": "USING is not allowed: write the condition with ON or WHERE",
    "colnames": "an alias must not rename columns",
    "catalogname": "the name must not include a database",
    "indirection": "fields and elements of columns are not allowed",
    "agg_filter": "FILTER is not allowed",
    "agg_order": "ORDER BY inside a function is not allowed",
    "agg_within_group": "WITHIN GROUP is not allowed",
    "func_variadic": "VARIADIC is not allowed",
    "use_op": "ORDER BY … USING is not allowed",
    "is_natural": "NATURAL JOIN is not allowed: write the condition with ON",
    "from_clause": "UPDATE … FROM is not allowed: a statement changes one table",
    "conname": "ON CONSTRAINT is not allowed: name the columns",
    "options": "OLD and NEW are not allowed",
    "lateral": "LATERAL is not allowed",
}


def only(node: Any, fields: Collection[str]) -> None:
    """Raise SQLRefused if any other field of a node is set."""
    for field, _ in node.ListFields():
        if field.name not in fields:
            raise SQLRefused(_REASONS.get(field.name, f"{_label(node)} has a part that is not allowed here"))


def _label(node: Any) -> str:
    return str(node.DESCRIPTOR.name)


def inner(node: Node) -> tuple[str, Any]:
    """Return the kind of a node, and its content; `("", None)` for an empty one."""
    kind = node.WhichOneof("node")
    return (kind, getattr(node, kind)) if kind else ("", None)


def names_of(nodes: Sequence[Node]) -> tuple[str, ...]:
    """Return the parts of a qualified name."""
    return tuple(one.string.sval for one in nodes)


def parameter(node: ParamRef) -> Value:
    """Return a bound parameter. Raises SQLRefused for a number that no protocol message can bind."""
    if not 1 <= node.number <= MAX_PARAMETERS:
        raise SQLRefused(f"parameters are numbered from $1 to ${MAX_PARAMETERS}", "value")
    return Value("bound", "", node.number)


def constant(node: A_Const) -> Value:
    """Return a constant. Raises SQLRefused for bit strings and unusual numbers."""
    kind = node.WhichOneof("val")
    if kind == "sval":
        return Value("text", node.sval.sval)
    if kind == "ival":
        return Value("number", str(node.ival.ival))
    if kind == "fval":
        return Value("number", number_text(node.fval.fval))
    if kind == "boolval":
        return Value("bool", "true" if node.boolval.boolval else "false")
    if node.isnull:
        return Value("null", "")
    raise SQLRefused("bit strings are not allowed", "value")
