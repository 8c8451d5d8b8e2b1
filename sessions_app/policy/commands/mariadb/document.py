"""The document of a command set for MariaDB: privileges, with `{name}` in place of a parameter value."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from sessions_app.policy.commands.document import MAX_COMMANDS, Visible
from sessions_app.policy.commands.mariadb.lines import check_name, parse_template
from sessions_app.policy.commands.mariadb.privileges import Privilege
from sessions_app.policy.commands.privileges.document import PrivilegeRule, PrivilegeSet
from sessions_app.policy.commands.privileges.reading import MAX_LINE


class MariaDBRule(PrivilegeRule):
    """The privileges of one command on one table or routine."""

    grant: Visible = Field(
        min_length=1,
        max_length=MAX_LINE,
        description="Privileges on one table or routine, as in SELECT, UPDATE (status) ON shop.orders",
    )

    @staticmethod
    def check_name(text: str) -> None:
        """Raise LineRefused for an invalid name."""
        check_name(text)

    def privileges(self) -> tuple[Privilege, ...]:
        """Return the privileges that the command grants, with placeholders for parameters.

        Raises LineRefused if the strict parser refuses the command.
        """
        return parse_template(self.grant)


class MariaDBCommandSet(PrivilegeSet):
    """A named list of privileges on one server. A published version never changes."""

    SERVER: ClassVar[str] = "MariaDB"
    kind: Literal["mariadb"]
    commands: tuple[MariaDBRule, ...] = Field(
        max_length=MAX_COMMANDS, description="An empty list allows nothing"
    )
