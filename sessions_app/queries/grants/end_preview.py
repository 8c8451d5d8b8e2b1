"""Preview how ending grants would affect their running commands."""

from __future__ import annotations

import datetime as dt
from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import NamedTuple

from django.db.models import Q

from sessions_app.models import CommandRun, Grant, RunState
from sessions_app.models.session import may_yet_run
from sessions_app.queries.catalog.command_sets import compiled
from sessions_app.queries.statements.composed import Listed, among

MOST = 50


class Ending(NamedTuple):
    """The effect of ending a grant.

    ``cut`` lists the commands that the end cuts, and ``finish`` those that may finish, for at most
    ``seconds``. ``below`` is the number of delegated grants that end with it.
    """

    cut: Sequence[CommandRun]
    finish: Sequence[CommandRun]
    seconds: int
    below: int


def goes_on(now: dt.datetime) -> Q:
    """Return the condition for commands that would be cut if their grant ended: they are running, or are held
    and can still run.
    """
    return Q(state__in=(RunState.ALLOWED, RunState.RUNNING)) | may_yet_run(now)


_RUNS = Listed(
    lambda _, now, grants: (
        CommandRun.objects.filter(goes_on(now), among("grant", grants))
        .select_related("target")
        .order_by("pk")[:MOST]
    ),
    grants=list,
)
_BELOW = Listed(
    lambda *_, grants: Grant.objects.filter(among("parent", grants)).before_end().only("parent"), grants=list
)


def endings(grants: Sequence[Grant], now: dt.datetime) -> dict[int, Ending]:
    """Return, by grant id, the effect of ending each grant now. At most ``MOST`` commands are read."""
    ids = [grant.pk for grant in grants]
    if not ids:
        return {}
    parents = Counter(grant.parent_id for grant in _BELOW(None, now, grants=ids))
    by_grant = defaultdict[int, list[CommandRun]](list)
    for run in _RUNS(None, now, grants=ids):
        by_grant[run.grant_id].append(run)
    return {grant.pk: _ending(grant, by_grant[grant.pk], parents[grant.pk]) for grant in grants}


def _ending(grant: Grant, runs: Sequence[CommandRun], below: int) -> Ending:
    if not runs or not grant.finish_seconds:
        return Ending(runs, [], 0, below)
    allowed = compiled(grant.command_set_version, grant.parameters, grant.commands).commands
    seconds: dict[int | None, int] = {one.index: one.rule.finish_seconds or 0 for one in allowed}
    finish = [run for run in runs if run.state == RunState.RUNNING and seconds.get(run.command_index)]
    cut = [run for run in runs if run not in finish]
    return Ending(cut, finish, max((seconds[run.command_index] for run in finish), default=0), below)
