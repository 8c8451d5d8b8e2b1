"""Check every other second whether a live view may continue."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

from accounts.models import Identity
from sessions_app.models import CommandRun, RunState, Watch

# Seconds between two checks of one view.
EVERY = 2.0


@dataclass(frozen=True, slots=True)
class Kept:
    """Whether a view may continue. ``over`` is the reason if it can't; ``watchers`` lists the names of
    everyone who watches the run now.
    """

    over: str
    watchers: Sequence[str] = ()


def keep_watch(*, watch_id: int, actor: Identity, now: dt.datetime) -> Kept:
    """Return whether a view may continue. If so, confirm the view to the gateway.

    A view ends with the command, and as soon as the watcher may no longer see the command.
    """
    watch = Watch.objects.filter(pk=watch_id, watcher=actor).first()
    run = CommandRun.objects.visible_to(actor).filter(pk=watch.run_id).first() if watch else None
    if watch is None or run is None:
        return Kept("access ended")
    if run.state != RunState.RUNNING:
        return Kept("command ended")
    Watch.objects.filter(pk=watch_id).update(seen_at=now)
    watches = run.watches.confirmed(now).select_related("watcher").order_by("began_at")
    return Kept("", list(dict.fromkeys(str(one.watcher) for one in watches)))
