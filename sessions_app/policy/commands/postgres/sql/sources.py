"""Read the tables of a statement, and how they are joined."""

from __future__ import annotations

from postgast.pg_query_pb2 import JoinType, Node, RangeVar

from sessions_app.policy.commands.characters import clip
from sessions_app.policy.commands.postgres.sql.expressions import Expressions, Table
from sessions_app.policy.commands.postgres.sql.nodes import inner, only
from sessions_app.policy.commands.postgres.sql.parsing import SQLRefused
from sessions_app.policy.commands.postgres.sql.pieces import identifier

MAX_TABLES = 8
_JOINS = {
    JoinType.JOIN_INNER: "JOIN",
    JoinType.JOIN_LEFT: "LEFT JOIN",
    JoinType.JOIN_RIGHT: "RIGHT JOIN",
    JoinType.JOIN_FULL: "FULL JOIN",
}


class Sources(Expressions):
    """Reads the tables that expressions refer to."""

    def table(self, node: RangeVar) -> str:
        """Remember a table, and return its name in the statement."""
        only(node, ("schemaname", "relname", "inh", "relpersistence", "alias", "location"))
        if not node.inh:
            raise SQLRefused("ONLY is not allowed")
        table = Table(node.schemaname or self.default_schema(node.relname), node.relname)
        if node.HasField("alias"):
            only(node.alias, ("aliasname",))
        ref: str = node.alias.aliasname or node.relname
        if ref in self.tables:
            raise SQLRefused(f"the name {clip(ref)} is used for two tables: give each table its own alias")
        if len(self.tables) >= MAX_TABLES:
            raise SQLRefused(f"a statement reads at most {MAX_TABLES} tables")
        self.tables[ref] = table
        return ref

    def default_schema(self, name: str) -> str:
        if not self.schema:
            raise SQLRefused(f"write {clip(name)} with its schema, as in `app.orders`")
        return self.schema

    def one_table(self, node: RangeVar) -> Table:
        return self.tables[self.table(node)]

    def collect(self, node: Node) -> None:
        kind, content = inner(node)
        if kind == "range_var":
            self.table(content)
        elif kind == "join_expr":
            only(content, ("jointype", "larg", "rarg", "quals"))
            self.collect(content.larg)
            self.collect(content.rarg)
        else:
            raise SQLRefused("only tables and joins are allowed after FROM")

    def source(self, node: Node) -> None:
        kind, content = inner(node)
        if kind == "range_var":
            self._source_table(content)
            return
        self.source(content.larg)
        if not content.HasField("quals"):
            self.out.append(" CROSS JOIN ")
            self._joined(content.rarg)
            return
        self.out.append(f" {_JOINS[content.jointype]} ")
        self._joined(content.rarg)
        self.out.append(" ON ")
        self.expression(content.quals)

    def _joined(self, node: Node) -> None:
        nested = node.WhichOneof("node") == "join_expr"
        self.out.append("(" if nested else "")
        self.source(node)
        self.out.append(")" if nested else "")

    def _source_table(self, node: RangeVar) -> None:
        ref = node.alias.aliasname or node.relname
        self.out.append(str(self.tables[ref]))
        if len(self.tables) > 1 and ref != node.relname:
            self.out.append(f" AS {identifier(ref)}")
