"""The document of a command set for PostgreSQL: privileges, with `{name}` in place of a parameter value."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, ClassVar, Literal

from pydantic import Discriminator, Field, StrictStr, Tag

from sessions_app.policy.commands.budgets import Measure, uncountable
from sessions_app.policy.commands.document import (
    MAX_COMMANDS,
    BudgetedSet,
    CommandRule,
    RuleRefused,
    Visible,
)
from sessions_app.policy.commands.postgres.lines import check_name, parse_template
from sessions_app.policy.commands.postgres.privileges import Privilege
from sessions_app.policy.commands.postgres.sql.compiling import compile_rule
from sessions_app.policy.commands.postgres.sql.rules import (
    CallRule,
    SelectRule,
    SQLRule,
    StatementRule,
    rule_tag,
)
from sessions_app.policy.commands.privileges.document import PrivilegeRule, PrivilegeSet
from sessions_app.policy.commands.privileges.reading import MAX_LINE
from sessions_app.policy.documents import Problem


class PostgresRule(PrivilegeRule):
    """The privileges of one command: privileges on one object, or membership in template roles."""

    grant: Visible = Field(
        min_length=1,
        max_length=MAX_LINE,
        description=(
            "Privileges on one object, as in SELECT, UPDATE (status) ON app.orders; or ROLE and a template"
            " role"
        ),
    )

    @staticmethod
    def check_name(text: str) -> None:
        """Raise LineRefused for an invalid name."""
        check_name(text)

    def privileges(self) -> tuple[Privilege, ...]:
        """Return the privileges that the rule grants, with placeholders for parameters.

        Raises LineRefused if the strict parser refuses it.
        """
        return parse_template(self.grant)


AnyRule = Annotated[
    Annotated[PostgresRule, Tag("rule of grant")]
    | Annotated[SQLRule, Tag("rule of sql")]
    | Annotated[SelectRule, Tag("rule of select")]
    | Annotated[CallRule, Tag("rule of call")],
    Discriminator(
        rule_tag,
        custom_error_type="postgres_rule",
        custom_error_message="needs exactly one of grant, sql, select and call",
    ),
]


class PostgresCommandSet(PrivilegeSet, BudgetedSet):
    """A named list of privileges or of statements in one database. A published version never changes."""

    SERVER: ClassVar[str] = "PostgreSQL"
    MEASURES: ClassVar[tuple[Measure, ...]] = ("calls", "sum", "bytes", "rows")
    kind: Literal["postgres"]
    default_schema: Annotated[StrictStr, Field(pattern=r"^[a-z_][a-z0-9_]{0,62}$")] | None = Field(
        default=None,
        alias="schema",
        description="The schema of names without a schema, in statements",
        examples=["app"],
    )
    commands: tuple[AnyRule, ...] = Field(  # type: ignore[assignment]  # statements have no privileges
        max_length=MAX_COMMANDS, description="An empty list allows nothing"
    )

    @property
    def schema_name(self) -> str:
        """The schema of names without a schema, in statements; empty if each name must have a schema."""
        return self.default_schema or ""

    @property
    def statements(self) -> bool:
        """Whether the commands are statements, which only the gateway can run."""
        return any(isinstance(rule, StatementRule) for rule in self.commands)

    def problems(self) -> Iterator[Problem]:
        """Yield inconsistencies between the parts of the document."""
        if not self.statements:
            yield from super().problems()
            if self.budget:
                yield Problem("budget", "uses of privileges can't be counted: write statements instead")
            return
        yield from BudgetedSet.problems(self)
        for index, rule in enumerate(self.commands):
            yield from self._rule_problems(index, rule)

    def sum_fault(self, rule: CommandRule, name: str) -> str:
        types = {**self.parameters, **rule.where}
        try:
            used = rule.names
        except RuleRefused:
            return ""
        if name not in used or name not in types:
            return "is not a parameter of this command: name one"
        return uncountable(types[name])

    def _rule_problems(self, index: int, rule: CommandRule) -> Iterator[Problem]:
        if not isinstance(rule, StatementRule):
            yield Problem(
                f"commands[{index}].grant",
                "can't be in one set with statements: write a command set of its own",
            )
            return
        types = {**self.parameters, **rule.where}
        yield from _secret_problems(f"commands[{index}].secret", rule)
        try:
            known = set(rule.names) <= types.keys()
        except RuleRefused:
            return
        try:
            compiled = compile_rule(index, rule, types, {}, self.schema_name) if known else None
        except RuleRefused as error:
            yield Problem(f"commands[{index}].{rule.WRITTEN}", error.reason)
            return
        if compiled is not None and rule.explained and not compiled.at_commit:
            yield Problem(f"commands[{index}].explain", "needs `hold: true` on an INSERT, UPDATE or DELETE")


def _secret_problems(path: str, rule: StatementRule) -> Iterator[Problem]:
    for name in rule.secret:
        if name not in rule.where:
            yield Problem(
                path, f"{name} must be declared under where: approvers see the values of parameters"
            )
