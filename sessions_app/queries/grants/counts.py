"""Counts of grants, and of the commands attempted under them, for lists."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from django.db.models import Count, OuterRef, Subquery
from django.db.models.functions import Coalesce

from broker.kernel.postgresql.rows import ask
from sessions_app.models import Grant, GrantState, RunState

# The states of grants that are in use, or whose end is not confirmed yet.
LIVE = (GrantState.PROVISIONING, GrantState.ACTIVE, GrantState.REVOKING)


class Counts(NamedTuple):
    """The number of commands attempted under a grant, and how many of them were refused."""

    runs: int
    refused: int


_RUN_COUNTS = """
SELECT grant_id, count(*), count(*) FILTER (WHERE state = %(refused)s)
  FROM sessions_app_commandrun WHERE grant_id = ANY(%(grants)s) GROUP BY grant_id
"""


def run_counts(ids: Sequence[int]) -> dict[int, Counts]:
    """Return how many commands were attempted and refused, by grant id."""
    rows = ask(_RUN_COUNTS, grants=list(ids), refused=RunState.REFUSED.value) if ids else ()
    return {pk: Counts(runs, refused) for pk, runs, refused in rows}


def how_many_live(field: str) -> Coalesce:
    """Return an expression that counts, for each row, the grants in use.

    ``field`` is the grant's foreign key to the row. The count is a subquery per row, because a join would
    read all grants, including old ones.
    """
    live = Grant.objects.filter(state__in=LIVE, **{field: OuterRef("pk")}).order_by().values(field)
    return Coalesce(Subquery(live.annotate(count=Count("pk")).values("count")), 0)
