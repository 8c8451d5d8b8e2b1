"""Django's compilers of queries, without two steps that cost a page more than some of its statements and
change none of them.
"""

from __future__ import annotations

from typing import Any

from django.db.backends.postgresql import compiler
from django.db.backends.postgresql.compiler import (
    SQLAggregateCompiler,
    SQLDeleteCompiler,
    SQLInsertCompiler,
    SQLUpdateCompiler,
)
from django.db.models.expressions import Col

__all__ = (
    "SQLAggregateCompiler",
    "SQLCompiler",
    "SQLDeleteCompiler",
    "SQLInsertCompiler",
    "SQLUpdateCompiler",
)


class SQLCompiler(compiler.SQLCompiler):
    """The compiler of SELECT. Its SQL is Django's."""

    def compile(self, node: Any) -> tuple[str, Any]:
        """Return the SQL of a part and its parameters. Most parts are columns of a table."""
        if type(node) is not Col or not node.alias:
            return super().compile(node)
        known, names = self.quote_cache, (node.alias, str(node.target.column))
        return ".".join([known.get(name) or self.quote_name_unless_alias(name) for name in names]), []

    def _order_by_pairs(self) -> Any:
        """Return the parts of ORDER BY, without hashing every selected column to find it in the order.

        Only a selected column with an alias can be named in the order; the parts of a union are Django's.
        """
        select = self.select
        if self.query.combinator or any(alias for _, _, alias in select or ()):
            return super()._order_by_pairs()
        self.select = None
        try:
            return list(super()._order_by_pairs())  # type: ignore[call-overload]  # an iterator, unknown to the stubs
        finally:
            self.select = select
