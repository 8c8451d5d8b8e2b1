"""The form of a command that reads what its holder chooses: table, columns, conditions, order and limit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from sessions_app.policy.commands.answers import Readable
from sessions_app.policy.commands.postgres.selecting import CONDITIONS, DIRECTIONS, OPERATORS

# The limit that the form suggests if the command has none.
USUAL_LIMIT = 100


class Column(NamedTuple):
    """A column: its number among all columns, its name, its checkbox, and whether that is ticked."""

    number: str
    name: str
    field: str
    ticked: bool


class Table(NamedTuple):
    """A table with its columns, and whether it is chosen."""

    name: str
    chosen: bool
    columns: Sequence[Column]


class Condition(NamedTuple):
    """One row of the conditions, by the names and values of its fields."""

    label: str
    column_field: str
    column: str
    operator_field: str
    operator: str
    value_field: str
    value: str

    @property
    def used(self) -> bool:
        """Whether a column or a value was submitted."""
        return bool(self.column or self.value)


@dataclass(frozen=True, slots=True)
class ReadForm:
    """The form of one command. ``prefix`` begins the names of its fields. ``typed`` has their values if the
    form was submitted; None if it wasn't.
    """

    readable: Readable
    prefix: str
    typed: Mapping[str, str] | None

    operators = OPERATORS
    directions = DIRECTIONS

    @property
    def tables(self) -> list[Table]:
        """The tables. The first one is chosen unless another one was submitted."""
        found: list[Table] = []
        at = 0
        chosen = self._value("table") or self.readable.tables[0][0]
        for name, columns in self.readable.tables:
            found.append(
                Table(name, name == chosen, [self._column(at + n, c) for n, c in enumerate(columns)])
            )
            at += len(columns)
        return found

    @property
    def several(self) -> bool:
        """Whether there is a table to choose."""
        return len(self.readable.tables) > 1

    @property
    def conditions(self) -> list[Condition]:
        """The rows of the conditions."""
        return [self._condition(number) for number in range(CONDITIONS)]

    @property
    def table_field(self) -> str:
        """The name of the field for the table."""
        return f"{self.prefix}table"

    @property
    def columns_field(self) -> str:
        """The name by which errors are shown below the columns."""
        return f"{self.prefix}column"

    @property
    def order_field(self) -> str:
        """The name of the field for the column that sorts the rows."""
        return f"{self.prefix}order.column"

    @property
    def order(self) -> str:
        """The number of the column that sorts the rows."""
        return self._value("order.column")

    @property
    def direction_field(self) -> str:
        """The name of the field for the direction of the order."""
        return f"{self.prefix}order.direction"

    @property
    def direction(self) -> str:
        """The direction of the order."""
        return self._value("order.direction")

    @property
    def limit_field(self) -> str:
        """The name of the field for the limit."""
        return f"{self.prefix}limit"

    @property
    def limit(self) -> str:
        """The limit."""
        usual = self.readable.limit or USUAL_LIMIT
        return str(usual) if self.typed is None else self._value("limit")

    @property
    def names(self) -> str:
        """The fields, each with the name that errors use."""
        parts = ("column", "operator", "value")
        conditions = [f"where.{number}.{part}" for number in range(CONDITIONS) for part in parts]
        called = ("table", "column", *conditions, "order.column", "order.direction", "limit")
        return " ".join(f"{self.prefix}{name}:{name}" for name in called)

    def _value(self, name: str) -> str:
        return (self.typed or {}).get(f"{self.prefix}{name}", "")

    def _column(self, number: int, name: str) -> Column:
        field = f"{self.prefix}column.{number}"
        return Column(str(number), name, field, self.typed is None or field in self.typed)

    def _condition(self, number: int) -> Condition:
        names = [f"where.{number}.{part}" for part in ("column", "operator", "value")]
        pairs = [text for name in names for text in (f"{self.prefix}{name}", self._value(name))]
        return Condition(f"Condition {number + 1}", *pairs)
