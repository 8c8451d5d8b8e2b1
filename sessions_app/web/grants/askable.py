"""The access that would allow a refused command, and the link to request it."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import urlencode

from django.db.models import Prefetch, QuerySet

from accounts.models import Identity
from sessions_app.models import AccessPolicy, CommandRun, CommandSet, CommandSetVersion, Grant
from sessions_app.policy.commands.answers import Allowed
from sessions_app.policy.commands.kinds import decide
from sessions_app.queries.catalog.command_sets import compiled_open, document_of
from sessions_app.web.forms.request_draft import PARAMETER


def askable_sets(reader: Identity, grant: Grant) -> list[CommandSetVersion]:
    """Return the published command sets that the reader can request on the grant's cluster."""
    policies = AccessPolicy.objects.requestable_by(reader, grant.cluster_id)
    published = CommandSetVersion.objects.filter(published_at__isnull=False).order_by("-number")
    sets: QuerySet[CommandSet] = (
        CommandSet.objects.live()
        .filter(policies__in=policies)
        .distinct()
        .order_by("name")
        .prefetch_related(Prefetch("versions", published))
    )
    return [version for one in sets if (version := one.published) is not None]


def request_query(run: CommandRun, grant: Grant, sets: Sequence[CommandSetVersion]) -> str:
    """Return the query string that prefills the request form for a command, with the first command set that
    allows the command, if any.
    """
    query = {"cluster": grant.cluster.name, "target": run.target.name}
    for version in sets:
        matched = _bindings(version, run.line)
        if matched is not None:
            bound = {f"{PARAMETER}{name}": value for name, value in matched.items()}
            return urlencode({**query, "set": version.document["name"], **bound})
    return urlencode(query)


def _bindings(version: CommandSetVersion, line: str) -> dict[str, str] | None:
    """Return the parameter values with which a command set allows a line; None if it never does."""
    verdict = decide(compiled_open(version), line)
    if not isinstance(verdict, Allowed):
        return None
    parameters = document_of(version).parameters
    return {name: value for name, value in verdict.matched.items() if name in parameters}
