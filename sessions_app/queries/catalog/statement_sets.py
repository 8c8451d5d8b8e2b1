"""Command sets whose commands are SQL statements, which only Stint's own gateway runs."""

from __future__ import annotations

from sessions_app.models import CommandSetVersion
from sessions_app.policy.commands.postgres.document import PostgresCommandSet
from sessions_app.queries.catalog.command_sets import document_of


def has_statements(version: CommandSetVersion) -> bool:
    """Whether the commands of a version are SQL statements. Raises DocumentError."""
    document = document_of(version)
    return isinstance(document, PostgresCommandSet) and document.statements
