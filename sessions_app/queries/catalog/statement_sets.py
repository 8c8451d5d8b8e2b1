"""Command sets whose commands are SQL statements, which only Stint's own gateway runs."""

from __future__ import annotations

from sessions_app.models import CommandSetVersion, Grant, Observed
from sessions_app.policy.commands.postgres.document import PostgresCommandSet
from sessions_app.queries.catalog.command_sets import document_of


def has_statements(version: CommandSetVersion) -> bool:
    """Whether the commands of a version are SQL statements. Raises DocumentError."""
    document = document_of(version) if version.command_set.kind == "postgres" else None
    return isinstance(document, PostgresCommandSet) and document.statements


def observed_of(grant: Grant) -> Observed:
    """Return how much of the activity under a grant Stint observes: statements all pass through its gateway.

    Raises DocumentError.
    """
    if grant.cluster.kind == "postgres" and has_statements(grant.command_set_version):
        return Observed.ALL
    return grant.cluster.observed
