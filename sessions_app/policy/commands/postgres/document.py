"""The document of a command set for PostgreSQL: privileges, with `{name}` in place of a parameter value."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import product
from typing import ClassVar, Literal

from pydantic import Field

from sessions_app.policy.commands.document import (
    MAX_COMMANDS,
    CommandRule,
    CommandSetDocument,
    RuleRefused,
    Visible,
)
from sessions_app.policy.commands.parameters import Choice
from sessions_app.policy.commands.postgres.lines import MAX_LINE, LineRefused, check_name, parse_template
from sessions_app.policy.commands.postgres.privileges import Privilege
from sessions_app.policy.documents import Problem

MAX_CHOICES = 500


class PostgresRule(CommandRule):
    """The privileges of one command: privileges on one object, or membership in template roles."""

    WRITTEN: ClassVar[str] = "grant"
    grant: Visible = Field(
        min_length=1,
        max_length=MAX_LINE,
        description=(
            "Privileges on one object, as in SELECT, UPDATE (status) ON app.orders; or ROLE and a template"
            " role"
        ),
    )

    @property
    def text(self) -> str:
        """The command as written."""
        return self.grant

    @property
    def names(self) -> tuple[str, ...]:
        """The parameters that it uses, each once. Raises LineRefused."""
        return tuple(dict.fromkeys(name for one in self.privileges() for name in one.slots))

    def privileges(self) -> tuple[Privilege, ...]:
        """Return the privileges that it grants, with placeholders for parameters.

        Raises LineRefused if the strict parser refuses it.
        """
        return parse_template(self.grant)

    def choices(self) -> Iterator[Mapping[str, str]]:
        """Yield every combination of the values that the holder can choose at each use.

        The role is granted the privileges for all combinations.
        """
        free = {name: type_.choices for name, type_ in self.where.items() if isinstance(type_, Choice)}
        for values in product(*free.values()):
            yield dict(zip(free, values, strict=True))


class PostgresCommandSet(CommandSetDocument):
    """A named list of privileges in one database. A published version never changes."""

    kind: Literal["postgres"]
    commands: tuple[PostgresRule, ...] = Field(
        max_length=MAX_COMMANDS, description="An empty list allows nothing"
    )

    def problems(self) -> Iterator[Problem]:
        """Yield inconsistencies between the parts of the document."""
        yield from super().problems()
        for index, rule in enumerate(self.commands):
            yield from _where_problems(f"commands[{index}]", rule)


def _where_problems(path: str, rule: PostgresRule) -> Iterator[Problem]:
    """Check that free values are listed, because PostgreSQL needs every name in advance."""
    count = 1
    for name, type_ in rule.where.items():
        if not isinstance(type_, Choice):
            message = (
                "needs a choice, because PostgreSQL needs every name in advance: list the names, or move it"
                " to parameters"
            )
            yield Problem(f"{path}.where.{name}", message)
            continue
        count *= len(type_.choices)
        yield from _name_problems(f"{path}.where.{name}", type_)
    if count > MAX_CHOICES:
        yield Problem(
            f"{path}.where",
            f"has {count} combinations, more than the limit of {MAX_CHOICES}: create a template role",
        )


def _name_problems(path: str, type_: Choice) -> Iterator[Problem]:
    for choice in type_.choices:
        try:
            check_name(choice)
        except LineRefused as error:
            yield Problem(path, error.reason)


__all__ = ["PostgresCommandSet", "PostgresRule", "RuleRefused"]
