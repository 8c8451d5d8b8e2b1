"""The facts that a decision needs, as the subject and text of a notification."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence

from broker.kernel.moments import Sayer
from sessions_app.models import AccessRequest, Target
from sessions_app.policy.commands.answers import CommandView, CompiledSet
from sessions_app.policy.commands.kinds import describe
from sessions_app.policy.durations import say_duration
from sessions_app.queries.catalog import command_sets as commands
from sessions_app.queries.requests import facts
from sessions_app.queries.requests.existing_access import count_other_holders
from sessions_app.queries.requests.starts import later_start, would_run

ROOT = "root"
# If there are more commands or targets than this, only their number is shown.
MOST_COMMANDS, MOST_TARGETS = 5, 5


def subject_of(request: AccessRequest, targets: Sequence[Target] | None = None) -> str:
    """Return who requests what, where and as which account: `REQ-1042: Alice requests restart-web on web as
    root`.
    """
    who, where = request.requester, request.cluster
    if request.extends_id:
        return f"{request.ref}: {who} requests {say_duration(request.duration)} more on {where}"
    accounts = _accounts(facts.targets_of(request) if targets is None else targets)
    account = f" as {accounts}" if accounts else ""
    return f"{request.ref}: {who} requests {request.command_set_version.command_set} on {where}{account}"


def facts_to_decide(
    request: AccessRequest,
    now: dt.datetime,
    *,
    targets: Sequence[Target] | None = None,
    compiled: CompiledSet | None = None,
    window: tuple[dt.datetime, dt.datetime] | None = None,
) -> Callable[[Sayer], str]:
    """Return a function that lists the facts a decision needs, one per line, in a reader's time zone.

    ``targets``, ``compiled`` and the ``window`` in which it would run are read if not given. Other holders at
    that time are only counted, because not every reader can see their grants.
    """
    targets = facts.targets_of(request) if targets is None else targets
    views = describe(commands.asked(request) if compiled is None else compiled)
    start = later_start(request, now)
    count = count_other_holders(request.requester, request.cluster, *(window or would_run(request, now)))

    def say(sayer: Sayer) -> str:
        said = {
            "Requester": str(request.requester),
            "Account": _accounts(targets),
            "Commands": _commands(views),
            "Risk": _risk(request, views),
            "Environment": f"{request.cluster.get_environment_display()}, {_targets(targets)}",
            "For": say_duration(request.duration),
            "Start": sayer.moment(start) if start else "as soon as it is approved",
            "Reason": request.reason,
            "Ticket": request.ticket,
            "Overlaps": f"{_many(count, 'other holder')} on {request.cluster} at that time"
            if count
            else "none",
            "Expires": f"{sayer.moment(request.lapses_at)}, if not decided",
        }
        return "\n".join(f"{name}: {value}" for name, value in said.items() if value)

    return say


def _accounts(targets: Sequence[Target]) -> str:
    found = {target.account for target in targets if target.account}
    return ", ".join(sorted(found, key=lambda account: (account != ROOT, account)))


def _commands(views: Sequence[CommandView]) -> str:
    """Return the commands as text, dangerous ones first."""
    order = sorted(views, key=lambda view: view.effect != "destructive")
    said = [f"{view.text}{_about(view)}" for view in order[:MOST_COMMANDS]]
    more = len(order) - len(said)
    return "; ".join([*said, *([f"and {more:,} more"] if more else [])])


def _about(view: CommandView) -> str:
    marks = [
        "destructive" if view.effect == "destructive" else "",
        "as root" if view.as_root else "",
        "always refused" if view.denies else "",
    ]
    said = ", ".join(filter(None, marks))
    return f" ({said})" if said else ""


def _risk(request: AccessRequest, views: Sequence[CommandView]) -> str:
    destructive = sum(view.effect == "destructive" for view in views)
    risk = str(request.command_set_version.document["risk"])
    return f"{risk}, {_many(destructive, 'destructive command')}" if destructive else risk


def _targets(targets: Sequence[Target]) -> str:
    count = _many(len(targets), "target")
    if len(targets) > MOST_TARGETS:
        return count
    return f"{count}: {', '.join(target.name for target in targets)}"


def _many(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
