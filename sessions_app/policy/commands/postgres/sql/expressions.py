"""Read expressions of a statement and write them in canonical form. Everything unknown is refused."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, ClassVar, NamedTuple

from postgast.pg_query_pb2 import (
    A_Expr_Kind,
    BoolExprType,
    BoolTestType,
    Node,
    NullTestType,
    SQLValueFunctionOp,
    TypeName,
)

from sessions_app.policy.commands.characters import clip
from sessions_app.policy.commands.postgres.sql.nodes import constant, inner, names_of, only, parameter
from sessions_app.policy.commands.postgres.sql.parsing import SQLRefused
from sessions_app.policy.commands.postgres.sql.pieces import Piece, Value, dotted, identifier
from sessions_app.policy.commands.postgres.sql.types import cast_text

OPERATORS = frozenset(("=", "<>", "<", ">", "<=", ">=", "+", "-", "*", "/", "%", "||", "->", "->>"))
SYSTEM_COLUMNS = frozenset(("ctid", "xmin", "xmax", "cmin", "cmax", "tableoid"))
_PRIMARY = frozenset(
    ("column_ref", "a_const", "param_ref", "func_call", "coalesce_expr", "sqlvalue_function")
)
_LIKES = {
    (A_Expr_Kind.AEXPR_LIKE, "~~"): "LIKE",
    (A_Expr_Kind.AEXPR_LIKE, "!~~"): "NOT LIKE",
    (A_Expr_Kind.AEXPR_ILIKE, "~~*"): "ILIKE",
    (A_Expr_Kind.AEXPR_ILIKE, "!~~*"): "NOT ILIKE",
}
_BETWEENS = {
    A_Expr_Kind.AEXPR_BETWEEN: "BETWEEN",
    A_Expr_Kind.AEXPR_NOT_BETWEEN: "NOT BETWEEN",
    A_Expr_Kind.AEXPR_BETWEEN_SYM: "BETWEEN SYMMETRIC",
    A_Expr_Kind.AEXPR_NOT_BETWEEN_SYM: "NOT BETWEEN SYMMETRIC",
}
_DISTINCTS = {
    A_Expr_Kind.AEXPR_DISTINCT: "IS DISTINCT FROM",
    A_Expr_Kind.AEXPR_NOT_DISTINCT: "IS NOT DISTINCT FROM",
}
_TRUTHS = {
    BoolTestType.IS_TRUE: "IS TRUE",
    BoolTestType.IS_NOT_TRUE: "IS NOT TRUE",
    BoolTestType.IS_FALSE: "IS FALSE",
    BoolTestType.IS_NOT_FALSE: "IS NOT FALSE",
    BoolTestType.IS_UNKNOWN: "IS UNKNOWN",
    BoolTestType.IS_NOT_UNKNOWN: "IS NOT UNKNOWN",
}
_MOMENTS = {
    SQLValueFunctionOp.SVFOP_CURRENT_DATE: "CURRENT_DATE",
    SQLValueFunctionOp.SVFOP_CURRENT_TIMESTAMP: "CURRENT_TIMESTAMP",
    SQLValueFunctionOp.SVFOP_LOCALTIMESTAMP: "LOCALTIMESTAMP",
}
_REFUSED: Mapping[str, str] = {
    "sub_link": "subqueries are not allowed",
    "case_expr": "CASE is not allowed",
    "row_expr": "rows such as ROW(…) are not allowed",
    "a_array_expr": "ARRAY is only allowed in `= ANY (ARRAY[…])`",
    "a_indirection": "fields and elements of values are not allowed",
    "collate_clause": "COLLATE is not allowed",
    "named_arg_expr": "write arguments in order, without their names",
    "set_to_default": "DEFAULT is only allowed as a whole value of INSERT or UPDATE",
    "a_star": "write the columns instead of *",
    "grouping_func": "GROUPING is not allowed",
    "current_of_expr": "WHERE CURRENT OF is not allowed: name the row by a column",
}


class Table(NamedTuple):
    """A table: its schema and its name."""

    schema: str
    name: str

    def __str__(self) -> str:
        return dotted(self)


class Column(NamedTuple):
    """A column of a table."""

    table: Table
    name: str

    def __str__(self) -> str:
        return f"{self.table}.{identifier(self.name)}"


class Expressions:
    """Reads expressions over some tables.

    ``tables`` are the tables by their names in the statement. ``out`` collects the canonical SQL, ``columns``
    the columns that are read, ``functions`` the functions of pg_catalog that are called, and ``labels`` the
    names of the results. ``own_types`` means that a cast names a type outside pg_catalog. ``schema`` applies
    to names without a schema.
    """

    def __init__(self, schema: str) -> None:
        self.schema = schema
        self.tables: dict[str, Table] = {}
        self.out: list[Piece] = []
        self.columns: dict[Column, None] = {}
        self.functions: dict[str, None] = {}
        self.labels: set[str] = set()
        self.own_types = False

    def listed(self, nodes: Iterable[Any], read: Callable[[Any], None]) -> None:
        """Read each node, and write commas between them."""
        for number, one in enumerate(nodes):
            if number:
                self.out.append(", ")
            read(one)

    def expression(self, node: Node) -> None:
        """Read any expression. Raises SQLRefused."""
        kind, content = inner(node)
        read = self._readers.get(kind)
        if read is None:
            raise SQLRefused(_REFUSED.get(kind, "the statement has an expression that is not allowed"))
        read(self, content)

    def operand(self, node: Node) -> None:
        """Read an expression, in parentheses unless it needs none."""
        kind = node.WhichOneof("node")
        if kind in _PRIMARY or (kind == "type_cast" and self.value(node) is not None):
            self.expression(node)
            return
        self.out.append("(")
        self.expression(node)
        self.out.append(")")

    def value(self, node: Node) -> Value | None:
        """Return a constant or bound parameter with its cast; None for any other expression."""
        kind, content = inner(node)
        if kind == "a_const":
            return constant(content)
        if kind == "param_ref":
            return parameter(content)
        if kind != "type_cast":
            return None
        inside = content.arg.WhichOneof("node")
        if inside not in ("a_const", "param_ref"):
            return None
        found = self.value(content.arg)
        return found and found._replace(cast=self._type(content.type_name))

    def _type(self, node: TypeName) -> str:
        text = cast_text(node, self.schema)
        self.own_types = self.own_types or "." in text
        return text

    def column(self, names: Sequence[str]) -> Column:
        """Return the column that a name refers to, and remember that it is read. Raises SQLRefused."""
        *path, name = names
        column = Column(self._table(path, name), name)
        if name in SYSTEM_COLUMNS:
            raise SQLRefused(f"{clip(name)} is a system column, which is not allowed")
        self.columns[column] = None
        return column

    def _table(self, path: Sequence[str], name: str) -> Table:
        if not path and len(self.tables) == 1:
            return next(iter(self.tables.values()))
        if not path:
            reason = "the statement names no table" if not self.tables else "add the table, as in `orders.id`"
            raise SQLRefused(f"the column {clip(name)} can't be resolved: {reason}")
        known = self.tables.get(path[-1])
        if known is None or (len(path) == 2 and known != tuple(path)) or len(path) > 2:
            raise SQLRefused(f"{clip(dotted((*path, name)))} is not a table of the statement")
        return known

    def column_text(self, names: Sequence[str]) -> str:
        """Return a column in canonical form: without its table if the statement has only one."""
        column = self.column(names)
        if len(self.tables) == 1 and column.name not in self.labels:
            return identifier(column.name)
        ref = next(ref for ref, table in self.tables.items() if len(names) == 1 or ref == names[-2])
        return dotted((column.table.name if len(self.tables) == 1 else ref, column.name))

    # Each kind of expression

    def _column_ref(self, node: Any) -> None:
        if any(one.WhichOneof("node") != "string" for one in node.fields):
            raise SQLRefused("write the columns instead of *")
        self.out.append(self.column_text(names_of(node.fields)))

    def _constant(self, node: Any) -> None:
        self.out.append(constant(node))

    def _parameter(self, node: Any) -> None:
        self.out.append(parameter(node))

    def _cast(self, node: Any) -> None:
        only(node, ("arg", "type_name", "location"))
        type_ = self._type(node.type_name)
        inside = node.arg.WhichOneof("node")
        value = self.value(node.arg) if inside in ("a_const", "param_ref") else None
        if value is not None:
            self.out.append(value._replace(cast=type_))
            return
        self.operand(node.arg)
        self.out.append(f"::{type_}")

    def _bool(self, node: Any) -> None:
        if node.boolop == BoolExprType.NOT_EXPR:
            self.out.append("NOT ")
            self._inside(node.args[0])
            return
        word = " AND " if node.boolop == BoolExprType.AND_EXPR else " OR "
        for number, one in enumerate(node.args):
            if number:
                self.out.append(word)
            self._inside(one)

    def _inside(self, node: Node) -> None:
        """Read an operand of AND, OR or NOT."""
        kind = node.WhichOneof("node")
        if kind in ("a_expr", "null_test", "boolean_test"):
            self.expression(node)
        else:
            self.operand(node)

    def _null_test(self, node: Any) -> None:
        only(node, ("arg", "nulltesttype", "location"))
        self.operand(node.arg)
        self.out.append(" IS NULL" if node.nulltesttype == NullTestType.IS_NULL else " IS NOT NULL")

    def _boolean_test(self, node: Any) -> None:
        only(node, ("arg", "booltesttype", "location"))
        self.operand(node.arg)
        self.out.append(f" {_TRUTHS[node.booltesttype]}")

    def _coalesce(self, node: Any) -> None:
        only(node, ("args", "location"))
        self.out.append("COALESCE(")
        self.listed(node.args, self.expression)
        self.out.append(")")

    def _moment(self, node: Any) -> None:
        if node.op not in _MOMENTS or node.typmod != -1:
            raise SQLRefused("only CURRENT_DATE, CURRENT_TIMESTAMP and LOCALTIMESTAMP are allowed")
        self.out.append(_MOMENTS[node.op])

    def _call(self, node: Any) -> None:
        only(node, ("funcname", "args", "agg_star", "agg_distinct", "funcformat", "location"))
        names = names_of(node.funcname)
        if len(names) > 2 or (len(names) == 2 and names[0] != "pg_catalog"):
            raise SQLRefused(f"the function {clip(dotted(names))} can only be called as a whole statement")
        self.functions[names[-1]] = None
        self.out.append(f"pg_catalog.{identifier(names[-1])}(")
        if node.agg_star:
            self.out.append("*")
        if node.agg_distinct:
            self.out.append("DISTINCT ")
        self.listed(node.args, self.expression)
        self.out.append(")")

    def _operation(self, node: Any) -> None:
        only(node, ("kind", "name", "lexpr", "rexpr", "rexpr_list_start", "rexpr_list_end", "location"))
        names = names_of(node.name)
        if len(names) > 2 or (len(names) == 2 and names[0] != "pg_catalog"):
            raise SQLRefused(f"the operator {clip(dotted(names))} is not allowed")
        read = self._operations.get(node.kind)
        if read is None:
            raise SQLRefused(f"the operator {clip(names[-1])} is not allowed in this form")
        read(self, node, names[-1])

    def _plain(self, node: Any, name: str) -> None:
        if name not in OPERATORS:
            raise SQLRefused(f"the operator {clip(name)} is not allowed")
        if node.HasField("lexpr"):
            self.operand(node.lexpr)
            self.out.append(f" {name} ")
        else:
            self.out.append(f"{name} ")
        self.operand(node.rexpr)

    def _any(self, node: Any, name: str) -> None:
        if name != "=":
            raise SQLRefused("ANY is only allowed after =")
        self.operand(node.lexpr)
        self.out.append(" = ANY (")
        kind, content = inner(node.rexpr)
        if kind == "a_array_expr":
            self.out.append("ARRAY[")
            self.listed(content.elements, self._only_value)
            self.out.append("]")
        else:
            self._only_value(node.rexpr)
        self.out.append(")")

    def _only_value(self, node: Node) -> None:
        value = self.value(node)
        if value is None:
            raise SQLRefused("only constants and parameters are allowed inside IN and ANY")
        self.out.append(value)

    def _in(self, node: Any, name: str) -> None:
        self.operand(node.lexpr)
        self.out.append(" IN (" if name == "=" else " NOT IN (")
        self.listed(node.rexpr.list.items, self._only_value)
        self.out.append(")")

    def _like(self, node: Any, name: str) -> None:
        word = _LIKES.get((node.kind, name))
        if word is None or self.value(node.rexpr) is None:
            raise SQLRefused("LIKE needs a constant or a parameter, without ESCAPE")
        self.operand(node.lexpr)
        self.out.append(f" {word} ")
        self.expression(node.rexpr)

    def _between(self, node: Any, name: str) -> None:
        del name
        low, high = node.rexpr.list.items
        self.operand(node.lexpr)
        self.out.append(f" {_BETWEENS[node.kind]} ")
        self.operand(low)
        self.out.append(" AND ")
        self.operand(high)

    def _distinct(self, node: Any, name: str) -> None:
        del name
        self.operand(node.lexpr)
        self.out.append(f" {_DISTINCTS[node.kind]} ")
        self.operand(node.rexpr)

    def _nullif(self, node: Any, name: str) -> None:
        del name
        self.out.append("NULLIF(")
        self.listed((node.lexpr, node.rexpr), self.expression)
        self.out.append(")")

    _readers: ClassVar[Mapping[str, Callable[[Any, Any], None]]] = {
        "column_ref": _column_ref,
        "a_const": _constant,
        "param_ref": _parameter,
        "type_cast": _cast,
        "bool_expr": _bool,
        "null_test": _null_test,
        "boolean_test": _boolean_test,
        "coalesce_expr": _coalesce,
        "sqlvalue_function": _moment,
        "func_call": _call,
        "a_expr": _operation,
    }
    _operations: ClassVar[Mapping[int, Callable[[Any, Any, str], None]]] = {
        A_Expr_Kind.AEXPR_OP: _plain,
        A_Expr_Kind.AEXPR_OP_ANY: _any,
        A_Expr_Kind.AEXPR_IN: _in,
        A_Expr_Kind.AEXPR_LIKE: _like,
        A_Expr_Kind.AEXPR_ILIKE: _like,
        A_Expr_Kind.AEXPR_NULLIF: _nullif,
        **dict.fromkeys(_BETWEENS, _between),
        **dict.fromkeys(_DISTINCTS, _distinct),
    }
