"""Compare the use of a grant with what was approved."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from django.db.models import Count, F, Max, Q, Sum
from django.db.models.functions import Coalesce

from sessions_app.models import CommandRun, Grant, GrantState, Observed, RunState
from sessions_app.policy.commands.answers import CommandView
from sessions_app.policy.commands.kinds import describe
from sessions_app.queries.catalog.command_sets import compiled
from sessions_app.queries.grants.observing import observed_under

USED = (RunState.ALLOWED, RunState.RUNNING, RunState.DONE, RunState.CUT)
# Finished with a nonzero exit status, a signal or an error.
FAILED = Q(state=RunState.DONE) & (
    (Q(exit_status__isnull=False) & ~Q(exit_status=0)) | ~Q(signal="") | ~Q(reason="")
)
REFUSED = (RunState.REFUSED, RunState.HOLD_DENIED, RunState.HOLD_LAPSED)
# These commands never ran. A command that its holder withdrew does not count as refused.
NEVER_RAN = (*REFUSED, RunState.HOLD_WITHDRAWN)
# The maximum number of different refused commands that are listed; ``refused_times`` counts all of them.
MOST_REFUSED = 20
OVER = (GrantState.REVOKING, GrantState.ENDED)


def comparison(grant: Grant, now: dt.datetime) -> dict[str, Any]:
    """Return a comparison as plain data: how often each approved command and target was used, how much of the
    approved time was used, and the refused commands.

    Times are in seconds. ``sentence`` summarizes the comparison. The cost does not depend on how many
    commands ran. Unknown values are None: the command that was used, if the target enforces the commands;
    and a count of zero, if the target reports nothing.
    """
    views = [
        view
        for view in describe(compiled(grant.command_set_version, grant.parameters, grant.commands))
        if not view.denies
    ]
    commands = _commands(grant, views)
    targets = _targets(grant)
    refused = _refused(grant)
    refused_times = _refused_times(grant, refused)
    approved, used = _seconds(grant, now)
    return {
        "observed": observed_under(grant),
        "sentence": sentence(
            commands=[row["times"] for row in commands],
            targets=[row["times"] for row in targets],
            approved=approved,
            used=used,
            refused=refused_times,
        ),
        "commands": commands,
        "targets": targets,
        "approved_seconds": approved,
        "used_seconds": used,
        "refused": refused,
        "refused_times": refused_times,
    }


class _Uses(NamedTuple):
    """The number of runs with one value of a field, and how many of these failed."""

    times: int
    failed: int


def _uses(grant: Grant, by: str) -> Mapping[Any, _Uses]:
    """Return how often each value of a field occurs in the runs.

    A run over HTTP can represent many requests.
    """
    runs = CommandRun.objects.filter(grant=grant, state__in=USED).order_by()
    counted = runs.values(by).annotate(
        times=Sum(Coalesce(F("count__times"), 1)), failed=Count("pk", filter=FAILED)
    )
    return {row[by]: _Uses(row["times"], row["failed"]) for row in counted}


def _commands(grant: Grant, views: Sequence[CommandView]) -> list[dict[str, Any]]:
    uses = _uses(grant, "command_index")
    # If the target itself enforces the commands, runs are read back without the command that allowed them, or
    # not at all.
    unused = 0 if observed_under(grant) == Observed.ALL else None
    return [
        {
            "command": view.text,
            "times": uses[view.index].times if view.index in uses else unused,
            "failed": uses[view.index].failed if view.index in uses else unused,
        }
        for view in views
    ]


def _targets(grant: Grant) -> list[dict[str, Any]]:
    uses = _uses(grant, "target__name")
    names = sorted(target.name for target in grant.targets.all())
    unused = None if observed_under(grant) == Observed.NOTHING else 0
    return [{"target": name, "times": uses[name].times if name in uses else unused} for name in names]


def _refused(grant: Grant) -> list[dict[str, Any]]:
    runs = CommandRun.objects.filter(grant=grant, state__in=REFUSED).order_by()
    grouped = runs.values("line").annotate(times=Count("pk"), last=Max("pk"), last_at=Max("tried_at"))
    rows = list(grouped.order_by("-times", "-last")[:MOST_REFUSED])
    if not rows:
        return []
    why = dict(CommandRun.objects.filter(pk__in=[row["last"] for row in rows]).values_list("pk", "reason"))
    return [
        {
            "command": row["line"],
            "times": row["times"],
            "last_at": row["last_at"].isoformat(),
            "why": why[row["last"]],
        }
        for row in rows
    ]


def _refused_times(grant: Grant, told: Sequence[Mapping[str, Any]]) -> int | None:
    if not told and observed_under(grant) != Observed.ALL:
        return None
    if len(told) == MOST_REFUSED:
        return CommandRun.objects.filter(grant=grant, state__in=REFUSED).count()
    return sum(int(row["times"]) for row in told)


def _seconds(grant: Grant, now: dt.datetime) -> tuple[int, int]:
    """Return the approved time, and how much of it passed before the end, in seconds."""
    end = (grant.revoking_at or grant.ended_at or now) if grant.state in OVER else now
    approved = (grant.expires_at - grant.starts_at).total_seconds()
    used = (min(end, grant.expires_at) - grant.starts_at).total_seconds()
    return round(approved), max(0, round(used))


def sentence(
    *,
    commands: Sequence[int | None],
    targets: Sequence[int | None],
    approved: int,
    used: int,
    refused: int | None,
) -> str:
    """Return the summary, such as "3 of 5 commands were used, on 1 of 2 targets, for 12 of 60 minutes; 2
    commands were refused". The target does not report values that are None.
    """
    unit, name = (60, "minute") if approved >= 120 else (1, "second")
    time = f"{_round(used, unit)} of {_many(_round(approved, unit), name)}"
    if None in targets and refused is None and not any(targets):
        return f"Access for {time}. Stint does not observe commands or refusals on this kind of cluster."
    parts = []
    if None not in commands:
        count = sum(1 for times in commands if times)
        parts.append(f"{count} of {_many(len(commands), 'command')} {'was' if count == 1 else 'were'} used")
    on = sum(1 for times in targets if times)
    of = _many(len(targets), "target")
    if parts or on:
        parts.append(f"{'' if parts else 'Activity was seen '}on {on} of {of}")
    else:
        parts.append(f"No activity was seen on {of}")
    return f"{', '.join(parts)}, for {time}; {_refusals(refused)}."


def _refusals(times: int | None) -> str:
    if times is None:
        return "refusals are not observed"
    what = f"{_many(times, 'command')} {'was' if times == 1 else 'were'} refused"
    return what if times else "no command was refused"


def _round(seconds: int, unit: int) -> int:
    """Round to whole units, but to at least 1 unless the time is 0."""
    return max(round(seconds / unit), 1 if seconds else 0)


def _many(count: int, word: str) -> str:
    return f"{count} {word}{'' if count == 1 else 's'}"
