"""Properties of a statement that follow from the form of its nodes."""

from __future__ import annotations

from typing import Any

from postgast.pg_query_pb2 import A_Expr_Kind, BoolExprType, Node

from sessions_app.policy.commands.postgres.sql.nodes import inner, names_of, only

AGGREGATES = frozenset(("count", "sum", "min", "max", "avg"))
# Functions of pg_catalog that read nothing but their arguments and the clock, and return small values.
SAFE_FUNCTIONS = AGGREGATES | frozenset(
    (
        "abs",
        "btrim",
        "ceil",
        "ceiling",
        "char_length",
        "character_length",
        "date_part",
        "date_trunc",
        "extract",
        "floor",
        "left",
        "length",
        "lower",
        "ltrim",
        "now",
        "right",
        "round",
        "rtrim",
        "substr",
        "timezone",
        "to_char",
        "upper",
    )
)
_COMPARISONS = frozenset(("=", "<", ">", "<=", ">="))
_NARROWING = {
    A_Expr_Kind.AEXPR_IN: "=",
    A_Expr_Kind.AEXPR_LIKE: "~~",
    A_Expr_Kind.AEXPR_ILIKE: "~~*",
    A_Expr_Kind.AEXPR_BETWEEN: "BETWEEN",
}


def is_star(node: Node) -> bool:
    kind, content = inner(node)
    return (
        kind == "column_ref" and len(content.fields) == 1 and content.fields[0].WhichOneof("node") == "a_star"
    )


def routine_of(node: Any, schema: str) -> Any:
    """Return the call of a SELECT that only calls one routine outside pg_catalog; None for any other SELECT.

    A name without a schema is a routine of ``schema``, unless it is one of the safe functions.
    """
    if len(node.target_list) != 1 or _has_more(node):
        return None
    target = node.target_list[0].res_target
    if not node.from_clause:
        kind, content = inner(target.val)
        return content if kind == "func_call" and not target.name and _is_routine(content, schema) else None
    if len(node.from_clause) != 1 or not is_star(target.val):
        return None
    kind, source = inner(node.from_clause[0])
    if kind != "range_function":
        return None
    only(source, ("functions",))
    kind, content = inner(source.functions[0].list.items[0])
    return content if kind == "func_call" and _is_routine(content, schema) else None


def _has_more(node: Any) -> bool:
    clauses = (node.distinct_clause, node.group_clause, node.sort_clause)
    more = ("where_clause", "having_clause", "limit_count", "limit_offset")
    return any(clauses) or any(map(node.HasField, more))


def _is_routine(node: Any, schema: str) -> bool:
    names = names_of(node.funcname)
    if len(names) == 1:
        return bool(schema) and names[0] not in SAFE_FUNCTIONS
    return names[0] != "pg_catalog"


def is_one_row(node: Any) -> bool:
    """Whether a SELECT returns only aggregates of all rows."""
    return not node.group_clause and all(
        (call := inner(one.res_target.val))[0] == "func_call" and names_of(call[1].funcname)[-1] in AGGREGATES
        for one in node.target_list
    )


def narrows(node: Node) -> bool:
    """Whether a condition requires that some column has a given value, or is in a given range."""
    kind, content = inner(node)
    if kind == "bool_expr" and content.boolop == BoolExprType.AND_EXPR:
        return any(map(narrows, content.args))
    if kind != "a_expr":
        return False
    name = names_of(content.name)[-1]
    if content.kind in (A_Expr_Kind.AEXPR_OP, A_Expr_Kind.AEXPR_OP_ANY):
        sides = (content.lexpr, content.rexpr)
        return name in _COMPARISONS and any(map(_is_column, sides)) and not all(map(_mentions_column, sides))
    return _NARROWING.get(content.kind) == name and _is_column(content.lexpr)


def _is_column(node: Node) -> bool:
    return bool(node.WhichOneof("node") == "column_ref")


def _mentions_column(node: Node) -> bool:
    kind, content = inner(node)
    if kind == "column_ref":
        return True
    inside: list[Node] = []
    for field, found in content.ListFields() if content is not None else ():
        if field.message_type is not None and field.message_type.name == "Node":
            inside += found if field.is_repeated else [found]
    return any(map(_mentions_column, inside))
