"""Reads a statement: its canonical SQL, and the tables, columns and functions that it uses.

Reads only a part of SQL: INSERT, UPDATE and DELETE of one table, SELECT from joined tables, and calls of one
routine. Everything else is refused, so that the canonical SQL does nothing that this module does not know.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from postgast.pg_query_pb2 import (
    LimitOption,
    Node,
    OnConflictAction,
    OverridingKind,
    RawStmt,
    SetOperation,
    SortByDir,
    SortByNulls,
)

from sessions_app.policy.commands.characters import hidden_at, show
from sessions_app.policy.commands.postgres.sql.expressions import Column, Table
from sessions_app.policy.commands.postgres.sql.forms import is_one_row, is_star, narrows, routine_of
from sessions_app.policy.commands.postgres.sql.nodes import inner, names_of, only
from sessions_app.policy.commands.postgres.sql.parsing import SQLRefused
from sessions_app.policy.commands.postgres.sql.pieces import (
    Shape,
    Value,
    dotted,
    identifier,
    joined,
    shape_of,
    values_of,
)
from sessions_app.policy.commands.postgres.sql.sources import Sources

Verb = Literal["SELECT", "INSERT", "UPDATE", "DELETE", "CALL"]
_DIRECTIONS = {SortByDir.SORTBY_DEFAULT: "", SortByDir.SORTBY_ASC: " ASC", SortByDir.SORTBY_DESC: " DESC"}
_NULLS = {
    SortByNulls.SORTBY_NULLS_DEFAULT: "",
    SortByNulls.SORTBY_NULLS_FIRST: " NULLS FIRST",
    SortByNulls.SORTBY_NULLS_LAST: " NULLS LAST",
}


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement in canonical form.

    ``shape`` and ``values`` are its SQL. ``read`` are the columns that it reads, ``starred`` the tables of
    which it reads every column, and ``written`` the columns that it sets. ``narrowed``: its WHERE requires
    that a column has some value or range. ``where`` is the shape of its WHERE, whose first value is
    ``where_from``. ``limit`` is its LIMIT. ``one_row``: it returns one row of aggregates. ``returns``: it has
    RETURNING. ``own_types``: a cast names a type outside pg_catalog. ``routine`` is the routine that it
    calls; its values are the arguments.
    """

    verb: Verb
    shape: Shape
    values: tuple[Value, ...]
    tables: tuple[Table, ...] = ()
    read: tuple[Column, ...] = ()
    written: tuple[Column, ...] = ()
    starred: tuple[Table, ...] = ()
    functions: tuple[str, ...] = ()
    has_where: bool = False
    narrowed: bool = False
    where: Shape = ()
    where_from: int = 0
    returns: bool = False
    limit: int | None = None
    one_row: bool = False
    own_types: bool = False
    routine: Table | None = None


def read_statement(node: Node, schema: str) -> Statement:
    """Return a statement in canonical form. Raises SQLRefused.

    ``schema`` applies to names without a schema; empty if each name needs one.
    """
    kind, content = inner(node)
    if kind not in ("select_stmt", "insert_stmt", "update_stmt", "delete_stmt", "call_stmt"):
        raise SQLRefused("only SELECT, INSERT, UPDATE, DELETE and CALL are possible here")
    return getattr(_Reader(schema), kind)(content)  # type: ignore[no-any-return]


class _Reader(Sources):
    """Reads one statement."""

    def __init__(self, schema: str) -> None:
        super().__init__(schema)
        self.written: dict[Column, None] = {}
        self.starred: dict[Table, None] = {}
        self.has_where = False
        self.narrowed = False
        self.where: Shape = ()
        self.where_from = 0
        self.returns = False

    def _made(self, verb: Verb, **more: Any) -> Statement:
        pieces = joined(self.out)
        text = "".join([piece if isinstance(piece, str) else piece.text for piece in pieces])
        at = hidden_at(text)
        if at is not None:
            raise SQLRefused(f"the statement contains {show(text[at])}, which is invisible", "syntax")
        return Statement(
            verb=verb,
            shape=shape_of(pieces),
            values=values_of(pieces),
            tables=tuple(dict.fromkeys(self.tables.values())),
            read=tuple(self.columns),
            written=tuple(self.written),
            starred=tuple(self.starred),
            functions=tuple(self.functions),
            has_where=self.has_where,
            narrowed=self.narrowed,
            where=self.where,
            where_from=self.where_from,
            returns=self.returns,
            own_types=self.own_types,
            **more,
        )

    def _where(self, node: Node) -> None:
        self.out.append(" WHERE ")
        self.has_where = True
        start = len(self.out)
        self.where_from = len(values_of(self.out))
        self.expression(node)
        self.where = shape_of(joined(self.out[start:]))
        self.narrowed = narrows(node)

    # SELECT

    def select_stmt(self, node: Any) -> Statement:
        """Read SELECT, or SELECT of one routine."""
        fields = ("distinct_clause", "target_list", "from_clause", "where_clause", "group_clause")
        more = ("having_clause", "sort_clause", "limit_offset", "limit_count", "limit_option", "op")
        only(node, (*fields, *more))
        if node.op != SetOperation.SETOP_NONE:
            raise SQLRefused("UNION, INTERSECT and EXCEPT are not allowed")
        routine = routine_of(node, self.schema)
        if routine is not None:
            return self._routine(routine, "SELECT * FROM " if node.from_clause else "SELECT ")
        for source in node.from_clause:
            self.collect(source)
        self.out.append("SELECT ")
        self._distinct_rows(node.distinct_clause)
        self._targets(node.target_list)
        if node.from_clause:
            self.out.append(" FROM ")
            self.listed(node.from_clause, self.source)
        if node.HasField("where_clause"):
            self._where(node.where_clause)
        self._groups(node)
        if node.sort_clause:
            self.out.append(" ORDER BY ")
            self.listed(node.sort_clause, self._sort)
        limit = self._limits(node)
        return self._made("SELECT", limit=limit, one_row=is_one_row(node))

    def _distinct_rows(self, nodes: Sequence[Node]) -> None:
        if any(one.WhichOneof("node") for one in nodes):
            raise SQLRefused("DISTINCT ON is not allowed")
        if nodes:
            self.out.append("DISTINCT ")

    def _targets(self, nodes: Sequence[Node]) -> None:
        labels = {one.res_target.name for one in nodes if one.res_target.name}
        if not nodes:
            raise SQLRefused("name the columns to return")
        self.listed(nodes, self._target)
        self.labels = labels

    def _target(self, node: Node) -> None:
        target = node.res_target
        only(target, ("name", "val", "location"))
        if is_star(target.val):
            self._star()
        else:
            self.expression(target.val)
        if target.name:
            self.out.append(f" AS {identifier(target.name)}")

    def _star(self) -> None:
        if len(self.tables) != 1:
            raise SQLRefused("write the columns instead of *")
        self.starred.update(dict.fromkeys(self.tables.values()))
        self.out.append("*")

    def _groups(self, node: Any) -> None:
        if node.group_clause:
            self.out.append(" GROUP BY ")
            self.listed(node.group_clause, self._place_or_expression)
        if node.HasField("having_clause"):
            self.out.append(" HAVING ")
            self.expression(node.having_clause)

    def _sort(self, node: Node) -> None:
        sort = node.sort_by
        only(sort, ("node", "sortby_dir", "sortby_nulls", "location"))
        kind, content = inner(sort.node)
        names = names_of(content.fields) if kind == "column_ref" else ()
        if len(names) == 1 and names[0] in self.labels:
            self.out.append(identifier(names[0]))
        else:
            self._place_or_expression(sort.node)
        self.out.append(_DIRECTIONS[sort.sortby_dir] + _NULLS[sort.sortby_nulls])

    def _place_or_expression(self, node: Node) -> None:
        """Read the sort or group key of rows: the number of a result, or an expression."""
        value = self.value(node)
        if value is None:
            self.operand(node)
        elif value.kind == "number" and not value.cast:
            self.out.append(value.text)
        else:
            raise SQLRefused("rows can't be sorted or grouped by a constant")

    def _limits(self, node: Any) -> int | None:
        """Read LIMIT and OFFSET, and return the limit's index among the values; None without LIMIT."""
        at = None
        if node.limit_option == LimitOption.LIMIT_OPTION_WITH_TIES:
            raise SQLRefused("WITH TIES is not allowed: use LIMIT")
        if node.HasField("limit_count"):
            self.out.append(" LIMIT ")
            at = sum(1 for piece in self.out if not isinstance(piece, str))
            self._count(node.limit_count)
        if node.HasField("limit_offset"):
            self.out.append(" OFFSET ")
            self._count(node.limit_offset)
        return at

    def _count(self, node: Node) -> None:
        value = self.value(node)
        if value is None or value.kind not in ("number", "text", "bound"):
            raise SQLRefused("LIMIT and OFFSET need a number or a parameter")
        self.out.append(value)

    # INSERT, UPDATE, DELETE

    def insert_stmt(self, node: Any) -> Statement:
        """Read INSERT with VALUES."""
        only(
            node,
            ("relation", "cols", "select_stmt", "on_conflict_clause", "returning_clause", "override"),
        )
        table = self.one_table(node.relation)
        if node.override != OverridingKind.OVERRIDING_NOT_SET:
            raise SQLRefused("OVERRIDING is not allowed")
        if not node.cols:
            raise SQLRefused("INSERT must name its columns")
        names = [self._written(table, one.res_target) for one in node.cols]
        self.out += ("INSERT INTO ", str(table), f" ({', '.join(names)}) VALUES ")
        rows = node.select_stmt.select_stmt
        only(rows, ("values_lists", "limit_option", "op"))
        if not rows.values_lists:
            raise SQLRefused("INSERT must have VALUES, and not SELECT")
        self.listed(rows.values_lists, self._row)
        if node.HasField("on_conflict_clause"):
            self._on_conflict(table, node.on_conflict_clause)
        self._returning(node)
        return self._made("INSERT")

    def _row(self, node: Node) -> None:
        self.out.append("(")
        self.listed(node.list.items, self._assigned)
        self.out.append(")")

    def _assigned(self, node: Node) -> None:
        if node.WhichOneof("node") == "set_to_default":
            self.out.append("DEFAULT")
        else:
            self.expression(node)

    def _written(self, table: Table, target: Any) -> str:
        only(target, ("name", "val", "location"))
        self.written[Column(table, target.name)] = None
        return identifier(target.name)

    def _on_conflict(self, table: Table, node: Any) -> None:
        only(node, ("action", "infer", "location"))
        if node.action != OnConflictAction.ONCONFLICT_NOTHING:
            raise SQLRefused("ON CONFLICT is only allowed with DO NOTHING")
        names = []
        if node.HasField("infer"):
            only(node.infer, ("index_elems", "location"))
            for one in node.infer.index_elems:
                only(one.index_elem, ("name", "ordering", "nulls_ordering"))
                names.append(identifier(one.index_elem.name))
                self.columns[Column(table, one.index_elem.name)] = None
        self.out.append(
            f" ON CONFLICT ({', '.join(names)}) DO NOTHING" if names else " ON CONFLICT DO NOTHING"
        )

    def _returning(self, node: Any) -> None:
        if node.HasField("returning_clause"):
            only(node.returning_clause, ("exprs",))
            self.returns = True
            self.out.append(" RETURNING ")
            self._targets(node.returning_clause.exprs)

    def update_stmt(self, node: Any) -> Statement:
        """Read UPDATE of one table."""
        only(node, ("relation", "target_list", "where_clause", "returning_clause"))
        table = self.one_table(node.relation)
        self.out += ("UPDATE ", str(table), " SET ")
        self.listed(node.target_list, lambda one: self._set(table, one.res_target))
        if node.HasField("where_clause"):
            self._where(node.where_clause)
        self._returning(node)
        return self._made("UPDATE")

    def _set(self, table: Table, target: Any) -> None:
        self.out.append(f"{self._written(table, target)} = ")
        if target.val.WhichOneof("node") == "multi_assign_ref":
            raise SQLRefused("set each column with its own value")
        self._assigned(target.val)

    def delete_stmt(self, node: Any) -> Statement:
        """Read DELETE from one table."""
        only(node, ("relation", "where_clause", "returning_clause"))
        self.out += ("DELETE FROM ", str(self.one_table(node.relation)))
        if node.HasField("where_clause"):
            self._where(node.where_clause)
        self._returning(node)
        return self._made("DELETE")

    # Routines

    def call_stmt(self, node: Any) -> Statement:
        """Read CALL."""
        only(node, ("funccall",))
        return self._routine(node.funccall, "CALL ")

    def _routine(self, node: Any, before: str) -> Statement:
        only(node, ("funcname", "args", "funcformat", "location"))
        names = names_of(node.funcname)
        if len(names) > 2:
            raise SQLRefused("the name must not include a database")
        schema = names[0] if len(names) == 2 else self.default_schema(names[-1])
        self.out.append(f"{before}{dotted((schema, names[-1]))}(")
        self.listed(node.args, self._argument)
        self.out.append(")")
        return self._made("CALL", routine=Table(schema, names[-1]))

    def _argument(self, node: Node) -> None:
        value = self.value(node)
        if value is None:
            raise SQLRefused("arguments of a routine must be constants or parameters")
        self.out.append(value)


def read_one(statements: Sequence[RawStmt], schema: str) -> Statement:
    """Return the only statement of a text. Raises SQLRefused."""
    if len(statements) != 1:
        raise SQLRefused("write exactly one statement")
    return read_statement(statements[0].stmt, schema)
