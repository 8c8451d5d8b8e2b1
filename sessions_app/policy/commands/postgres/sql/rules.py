"""Rules of statements: SQL with `{name}` in place of values, reads within limits, and calls."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import BaseModel, Field, StrictBool, StrictInt

from sessions_app.policy.commands.document import (
    FROZEN,
    BudgetedRule,
    CommandRule,
    ParameterName,
    Visible,
)
from sessions_app.policy.commands.finish import Finish
from sessions_app.policy.commands.postgres.sql.expressions import SYSTEM_COLUMNS, Column, Table
from sessions_app.policy.commands.postgres.sql.parsing import SQLRefused
from sessions_app.policy.commands.postgres.sql.pieces import dotted, identifier
from sessions_app.policy.commands.postgres.sql.templates import (
    Template,
    read_call,
    read_column,
    read_table,
    read_template,
)

MAX_SQL = 8192
MAX_ROWS = 1_000_000
_Text = Annotated[Visible, Field(min_length=1, max_length=MAX_SQL)]
_Name = Annotated[Visible, Field(min_length=1, max_length=255)]


class StatementRule(BudgetedRule):
    """The part that all rules of statements share."""

    hold: StrictBool = Field(default=False, description="Each run needs the approval of a second person")
    secret: tuple[ParameterName, ...] = Field(
        default=(),
        max_length=50,
        description="Parameters whose values are recorded and shown only as digests",
        examples=[["token"]],
    )
    end: Literal["cut"] | Finish = Field(
        default="cut", description="What happens to a running statement when the grant ends"
    )

    @property
    def held(self) -> bool:
        """Whether each run needs approval."""
        return self.hold

    @property
    def finish_seconds(self) -> int | None:
        """How many seconds a run may continue after the grant's end; None if the run is cut off."""
        return self.end.finish if isinstance(self.end, Finish) else None

    @property
    def rows(self) -> int | None:
        """The maximum number of rows that a run may change; None if there is no limit."""
        return None

    @property
    def explained(self) -> bool:
        """Whether a held run is shown with its plan."""
        return False

    def template(self, schema: str) -> Template | None:
        """Return the statement of the rule; None if the rule has limits instead. Raises SQLRefused."""
        del schema
        return None

    @property
    def names(self) -> tuple[str, ...]:
        """The parameters that the rule uses, without duplicates. Raises SQLRefused."""
        # Any schema works here, because the document checks that each name has a schema.
        template = self.template("public")
        return template.names if template else ()


class SQLRule(StatementRule):
    """One statement, with `{name}` in place of parameter values."""

    WRITTEN: ClassVar[str] = "sql"
    sql: _Text = Field(
        description="One SELECT, INSERT, UPDATE or DELETE, with {name} for each value that is a parameter"
    )
    max_rows: StrictInt | None = Field(
        default=None, ge=1, le=MAX_ROWS, description="Roll back a run that changes or returns more rows"
    )
    explain: StrictBool = Field(
        default=False,
        description="Show the server's plan of each held INSERT, UPDATE or DELETE to the second person",
    )

    @property
    def text(self) -> str:
        """The statement as written."""
        return self.sql

    @property
    def rows(self) -> int | None:
        return self.max_rows

    @property
    def explained(self) -> bool:
        return self.explain

    def template(self, schema: str) -> Template:
        found = read_template(self.sql, schema)
        if found.statement.routine is not None:
            name = found.statement.routine.name
            raise SQLRefused(
                f"use `call` for a routine, or write pg_catalog.{name} if it is built into PostgreSQL"
            )
        return found

    @property
    def names(self) -> tuple[str, ...]:
        return read_template(self.sql, "public").names


class CallRule(StatementRule):
    """The call of one routine, with `{name}` in place of parameter values."""

    WRITTEN: ClassVar[str] = "call"
    call: _Text = Field(
        description="A function as in app.refund({id}::integer), or a procedure as in CALL app.tidy()"
    )

    @property
    def text(self) -> str:
        """The call as written."""
        return self.call

    def template(self, schema: str) -> Template:
        return read_call(self.call, schema)


class SelectLimits(BaseModel):
    """The limits on what the holder may read: any SELECT of the listed columns."""

    model_config = FROZEN
    tables: tuple[_Name, ...] = Field(
        min_length=1, max_length=50, description="The tables, with their schema"
    )
    columns: tuple[_Name, ...] = Field(
        min_length=1, max_length=500, description="The columns that may be read, filtered and sorted by"
    )
    where: Literal["required", "optional"] = Field(
        default="optional", description="Whether a SELECT must have a condition on a column"
    )
    limit: StrictInt | None = Field(
        default=None, ge=1, le=MAX_ROWS, description="A SELECT must have a LIMIT of at most this"
    )

    def listed(self, schema: str) -> tuple[tuple[Table, ...], tuple[Column, ...]]:
        """Return the tables and the columns. Raises SQLRefused."""
        tables = tuple(dict.fromkeys(read_table(name, schema) for name in self.tables))
        columns = tuple(dict.fromkeys(read_column(name, tables) for name in self.columns))
        for column in columns:
            if column.name in SYSTEM_COLUMNS:
                raise SQLRefused(f"{column.name} is a system column, which can't be listed")
        return tables, columns

    def text(self, schema: str) -> str:
        """Return a SELECT of everything that is listed, with an ellipsis for the condition."""
        tables, columns = self.listed(schema)
        names = [
            dotted((one.table.name, one.name)) if len(tables) > 1 else identifier(one.name) for one in columns
        ]
        where = " WHERE …" if self.where == "required" else ""
        limit = f" LIMIT {self.limit}" if self.limit else ""
        source = ", ".join(map(str, tables))
        return f"SELECT {', '.join(names)} FROM {source}{where}{limit}"  # noqa: S608  # shown, never sent


class SelectRule(StatementRule):
    """Any SELECT of the listed columns."""

    WRITTEN: ClassVar[str] = "select"
    select: SelectLimits = Field(description="The tables and columns that may be read")

    @property
    def text(self) -> str:
        """The limits on one line."""
        names = f"{', '.join(self.select.columns)} of {', '.join(self.select.tables)}"
        where = ", WHERE required" if self.select.where == "required" else ""
        limit = f", at most {self.select.limit} rows" if self.select.limit else ""
        return f"SELECT {names}{where}{limit}"


def rule_tag(data: object) -> str | None:
    """Return the tag of a rule's model, by the field that contains its command; None if it has none of these
    fields, or several.
    """
    keys = ("grant", "sql", "select", "call")
    if isinstance(data, CommandRule):
        return f"rule of {data.WRITTEN}"
    found = [key for key in keys if isinstance(data, dict) and key in data]
    return f"rule of {found[0]}" if len(found) == 1 else None
