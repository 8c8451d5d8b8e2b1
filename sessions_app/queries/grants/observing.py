"""How much of the activity under a grant Stint observes."""

from __future__ import annotations

from sessions_app.models import AccessRequest, Grant, Observed
from sessions_app.policy.documents import DocumentError
from sessions_app.queries.catalog.statement_sets import has_statements


def observed_under(access: Grant | AccessRequest) -> Observed:
    """Return how much activity Stint observes under a grant, or under a requested one.

    Stint's own gateway runs all statements of a statement set, even if the database itself reports nothing.
    """
    try:
        if access.cluster.kind == "postgres" and has_statements(access.command_set_version):
            return Observed.ALL
    except DocumentError:
        # The row can't be read, so its kind is unknown.
        pass
    return access.cluster.observed
