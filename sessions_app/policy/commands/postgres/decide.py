"""Privileges on PostgreSQL: decide on them for the tester, the API and the pages, and list those that the
connector grants.

A privilege on an object in a schema includes USAGE on that schema. The administrator chooses the privileges
of a template role: a command set only allows `ROLE reporting_reader`, regardless of what that role may read.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import cast

from sessions_app.policy.commands.answers import Allowed, CommandView, Refused
from sessions_app.policy.commands.parameters import Choice, ParameterType
from sessions_app.policy.commands.postgres.document import PostgresCommandSet
from sessions_app.policy.commands.postgres.lines import parse_line
from sessions_app.policy.commands.postgres.privileges import Privilege
from sessions_app.policy.commands.postgres.roles import role_fault
from sessions_app.policy.commands.privileges import decide as shared
from sessions_app.policy.commands.privileges import privilege
from sessions_app.policy.commands.privileges.privilege import Slot


@dataclass(frozen=True, slots=True)
class CompiledSet(shared.CompiledSet):
    """The privileges of one grant, including USAGE on schemas."""

    @property
    def statements(self) -> bool:
        """Whether the commands are statements, which only the gateway can run."""
        return False

    def privileges(self) -> tuple[Privilege, ...]:
        """Return every privilege that the grant's role gets, without duplicates, with complete names.

        Raises ValueError for a set that was compiled without values.
        """
        return cast("tuple[Privilege, ...]", shared.CompiledSet.privileges(self))

    def template_roles(self) -> tuple[str, ...]:
        """Return the template roles that a grant may get, without duplicates, including every role of an open
        choice.
        """
        found = (
            name
            for command in self.commands
            for one in command.privileges
            if one.kind == "role"
            for name in _choices(one.names[0], command.types)
        )
        return tuple(dict.fromkeys(found))


def _choices(name: str | Slot, types: Mapping[str, ParameterType]) -> tuple[str, ...]:
    if isinstance(name, str):
        return (name,)
    type_ = types[name.name]
    return type_.choices if isinstance(type_, Choice) else ()


def _fault(one: privilege.Privilege) -> str | None:
    return role_fault(one.plain_names[0]) if one.kind == "role" else None


def _target(one: privilege.Privilege) -> str:
    return shared.target_text(one) if one.kind != "role" else str(one)


def _words(asked: Sequence[privilege.Privilege]) -> tuple[str, ...]:
    if asked[0].kind == "role":
        return tuple(("ROLE " + ", ".join(str(one).removeprefix("ROLE ") for one in asked)).split(" "))
    return shared.line_words(asked)


_DIALECT = shared.Dialect(parse_line, _fault, "name another role", _target, _words)


def compile_set(
    document: PostgresCommandSet, bindings: Mapping[str, str], keep: Collection[int] | None = None
) -> CompiledSet:
    """Return the privileges with the grant's values in place. Raises as ``Dialect.compile`` does."""
    return _DIALECT.compile(CompiledSet, document, bindings, keep)


def compile_open(document: PostgresCommandSet) -> CompiledSet:
    """Return the set with no values bound. Its parameters are free within their types."""
    return _DIALECT.open(CompiledSet, document)


def decide(compiled: CompiledSet, line: str) -> Allowed | Refused:
    """Decide whether the grant's role has the privileges that this line names. Never raises."""
    return _DIALECT.decide(compiled, line)


def covers(parent: CompiledSet, child: CompiledSet) -> str | None:
    """Return a privilege of the child that the parent's role does not have; None if it has all of them.

    The privileges of a template role are not examined: a template role is covered only by itself.
    """
    return _DIALECT.covers(parent, child)


def describe(compiled: CompiledSet) -> list[CommandView]:
    """Return the commands of a grant in document order, with bound values and the values that are free."""
    return _DIALECT.describe(compiled)
