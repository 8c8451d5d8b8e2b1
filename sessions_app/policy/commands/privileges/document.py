"""The document of a command set of privileges, with `{name}` in place of a parameter value."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping
from itertools import product
from typing import ClassVar

from pydantic import Field

from sessions_app.policy.commands.document import CommandRule, CommandSetDocument, Visible
from sessions_app.policy.commands.parameters import Choice
from sessions_app.policy.commands.privileges.privilege import Privilege
from sessions_app.policy.commands.privileges.reading import MAX_LINE, LineRefused
from sessions_app.policy.documents import Problem

MAX_CHOICES = 500


class PrivilegeRule(CommandRule):
    """The privileges of one command."""

    WRITTEN: ClassVar[str] = "grant"
    grant: Visible = Field(min_length=1, max_length=MAX_LINE)

    @property
    def text(self) -> str:
        """The command as written."""
        return self.grant

    @property
    def names(self) -> tuple[str, ...]:
        """The command's parameters, without duplicates. Raises LineRefused."""
        return tuple(dict.fromkeys(name for one in self.privileges() for name in one.slots))

    @staticmethod
    @abstractmethod
    def check_name(text: str) -> None:
        """Raise LineRefused for an invalid name."""

    @abstractmethod
    def privileges(self) -> tuple[Privilege, ...]:
        """Return the privileges that the command grants, with placeholders for parameters.

        Raises LineRefused if the strict parser refuses the command.
        """

    def choices(self) -> Iterator[Mapping[str, str]]:
        """Yield every combination of the values that the holder can choose at each use.

        The grant's account gets the privileges for all combinations.
        """
        free = {name: type_.choices for name, type_ in self.where.items() if isinstance(type_, Choice)}
        for values in product(*free.values()):
            yield dict(zip(free, values, strict=True))


class PrivilegeSet(CommandSetDocument):
    """A named list of privileges. A published version never changes. ``SERVER`` is the product's name."""

    SERVER: ClassVar[str]
    commands: tuple[PrivilegeRule, ...]

    def problems(self) -> Iterator[Problem]:
        """Yield inconsistencies between the parts of the document."""
        yield from super().problems()
        for index, rule in enumerate(self.commands):
            yield from self._where_problems(f"commands[{index}]", rule)

    def _where_problems(self, path: str, rule: PrivilegeRule) -> Iterator[Problem]:
        """Check that free values are listed, because the server needs every name in advance."""
        count = 1
        for name, type_ in rule.where.items():
            if not isinstance(type_, Choice):
                message = (
                    f"needs a choice, because {self.SERVER} needs every name in advance: list the "
                    "names, or move the parameter to parameters"
                )
                yield Problem(f"{path}.where.{name}", message)
                continue
            count *= len(type_.choices)
            yield from _name_problems(f"{path}.where.{name}", rule, type_)
        if count > MAX_CHOICES:
            yield Problem(
                f"{path}.where",
                f"has {count} combinations of values, more than the limit of {MAX_CHOICES}: narrow "
                "the choices",
            )


def _name_problems(path: str, rule: PrivilegeRule, type_: Choice) -> Iterator[Problem]:
    for choice in type_.choices:
        try:
            rule.check_name(choice)
        except LineRefused as error:
            yield Problem(path, error.reason)
