"""The postgres kind, as `policy.commands.kinds` registers it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from sessions_app.policy.commands.answers import Allowed, CommandView, Refused
from sessions_app.policy.commands.findings import Finding
from sessions_app.policy.commands.postgres import decide as deciding
from sessions_app.policy.commands.postgres.covers import covers
from sessions_app.policy.commands.postgres.decide import CompiledSet
from sessions_app.policy.commands.postgres.document import PostgresCommandSet
from sessions_app.policy.commands.postgres.lint import lint
from sessions_app.policy.commands.postgres.starters import STARTERS
from sessions_app.policy.commands.starters import Starter


class PostgresKind:
    """Privileges in a database."""

    name = "postgres"
    title = "PostgreSQL"
    document = PostgresCommandSet
    starters: Sequence[Starter] = STARTERS
    hint = "UPDATE (status) ON app.orders"

    def compile(
        self, document: PostgresCommandSet, bindings: Mapping[str, str] | None, keep: Collection[int] | None
    ) -> CompiledSet:
        """The privileges with values in place."""
        if bindings is None:
            return deciding.compile_open(document)
        return deciding.compile_set(document, bindings, keep)

    def decide(self, compiled: CompiledSet, line: str) -> Allowed | Refused:
        """Whether the grant's role has what this line names."""
        return deciding.decide(compiled, line)

    def covers(self, parent: CompiledSet, child: CompiledSet) -> str | None:
        """Why one set is not within the other; None when it is."""
        return covers(parent, child)

    def describe(self, compiled: CompiledSet) -> list[CommandView]:
        """The privileges with bound values."""
        return deciding.describe(compiled)

    def lint(self, document: PostgresCommandSet) -> list[Finding]:
        """What the privileges allow beyond what they seem to."""
        return lint(document)


KIND = PostgresKind()
