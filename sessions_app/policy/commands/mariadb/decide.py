"""Privileges on MariaDB: the decision for the tester, the API and the pages, and the privileges that the
connector grants.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import cast

from sessions_app.policy.commands.answers import Allowed, CommandView, Refused
from sessions_app.policy.commands.mariadb.document import MariaDBCommandSet
from sessions_app.policy.commands.mariadb.lines import parse_line, system_fault
from sessions_app.policy.commands.mariadb.privileges import Privilege
from sessions_app.policy.commands.privileges import decide as shared


@dataclass(frozen=True, slots=True)
class CompiledSet(shared.CompiledSet):
    """The privileges of one grant."""

    def privileges(self) -> tuple[Privilege, ...]:
        """Return every privilege of the grant's account, without duplicates and with complete names.

        Raises ValueError for a set that was compiled without values.
        """
        return cast("tuple[Privilege, ...]", shared.CompiledSet.privileges(self))


_DIALECT = shared.Dialect(
    parse_line, system_fault, "name another schema", shared.target_text, shared.line_words
)


def compile_set(
    document: MariaDBCommandSet, bindings: Mapping[str, str], keep: Collection[int] | None = None
) -> CompiledSet:
    """Return the privileges with the grant's values in place. Raises as ``Dialect.compile`` does."""
    return _DIALECT.compile(CompiledSet, document, bindings, keep)


def compile_open(document: MariaDBCommandSet) -> CompiledSet:
    """Return the set with no values bound. Its parameters are free within their types."""
    return _DIALECT.open(CompiledSet, document)


def decide(compiled: CompiledSet, line: str) -> Allowed | Refused:
    """Decide whether the grant's account has the privileges that this line names. Never raises."""
    return _DIALECT.decide(compiled, line)


def covers(parent: CompiledSet, child: CompiledSet) -> str | None:
    """Return a privilege of the child that the parent's account does not have; None if it has all of them."""
    return _DIALECT.covers(parent, child)


def describe(compiled: CompiledSet) -> list[CommandView]:
    """Return the commands of a grant in document order, with their bound and free values."""
    return _DIALECT.describe(compiled)
