"""Observe every target, compare what exists with what should exist, and repair the differences."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

import structlog
from django.db.models import Exists, F, OuterRef, Prefetch

from broker.kernel.each_free import for_a_while
from broker.kernel.fan_out import MOST, FanOut
from broker.kernel.lock import held, still_here
from broker.kernel.statement import is_connected
from broker.kernel.text import recordable
from broker.kernel.threads import Threads
from sessions_app.connectors.base import (
    CALL_SECONDS,
    Connector,
    ConnectorError,
    RoleWatcher,
    Sweeper,
    TargetSpec,
)
from sessions_app.connectors.base import LeaseSpec as Left
from sessions_app.models import Cluster, Observation, Target
from sessions_app.operations.targets.compare_targets import (
    UNKNOWN,
    Found,
    Seen,
    compare_targets,
    note_removed,
    note_unseen,
)
from sessions_app.operations.targets.connect import connector_for, place_of_target
from sessions_app.policy.commands.answers import CompiledSet
from sessions_app.queries.catalog.unenforceable import sets_of_kind

log = structlog.get_logger(__name__)

# In seconds. While a reconciling process waits for targets, it reports at this interval that it is
# running. A process that is silent for longer than any call can take counts as stopped.
BEAT = 5
SILENT = CALL_SECONDS + 15
# An arbitrary number that no other two-key advisory lock in the database uses.
_ROUND = 7_404
# Observations are compared once there are this many, or after this many seconds.
BATCH, BATCH_S = 200, 0.5
_LATE = f"{{}} did not respond within {SILENT} s."

_threads = Threads(MOST, name="reconcile")


def reconcile_all(*, now: Callable[[], dt.datetime]) -> None:
    """Observe every target of every cluster, and store the observations.

    Missing access of active grants is created again, and leftovers of grants that are over are removed. Each
    difference is recorded when it is first seen and when it is resolved. Clusters take turns, with a few
    targets in parallel. Targets that did not respond the last time come last, and hanging targets don't delay
    the others. Only one process does this at a time. If it is stopped halfway, another process takes over.
    """
    with held(_ROUND, 0, silent=SILENT) as mine:
        if mine:
            _Round(now).go()


@dataclass
class _Round:
    """One pass over all targets."""

    now: Callable[[], dt.datetime]
    fan: FanOut = field(default_factory=lambda: FanOut(_threads, longest=SILENT))
    seen: list[tuple[Target, Seen]] = field(default_factory=list)
    silent: list[tuple[Target, ConnectorError]] = field(default_factory=list)
    connectors: dict[str, Connector] = field(default_factory=dict)
    sets: dict[str, list[CompiledSet]] = field(default_factory=dict)
    compared: float = field(default_factory=time.monotonic)
    beat: float = field(default_factory=time.monotonic)

    def go(self) -> None:
        for cluster in _in_turn():
            self._add(cluster, list(cluster.live_targets))  # type: ignore[attr-defined]  # prefetched by `_in_turn`
        self.fan.run(meanwhile=self._meanwhile)
        self._compare()

    def _add(self, cluster: Cluster, targets: Sequence[Target]) -> None:
        try:
            connector = self._connector(cluster.kind)
            sets = self._sets(cluster.kind) if isinstance(connector, RoleWatcher) else []
        except ConnectorError as error:
            self.silent.extend((target, error) for target in targets)
            return
        except Exception as error:  # a failure of one cluster must not hide the others
            if not is_connected():
                raise
            log.exception("reconcile.failed", cluster=cluster.name)
            self.silent.extend((target, _odd(target, error)) for target in targets)
            return
        for target in targets:
            late: Seen | ConnectorError = ConnectorError(_LATE.format(target.name))
            act = partial(_look, connector, target, sets)
            self.fan.add(cluster.pk, act, then=partial(self._take, target), late=late)

    def _connector(self, kind: str) -> Connector:
        if kind not in self.connectors:
            self.connectors[kind] = connector_for(kind)
        return self.connectors[kind]

    def _sets(self, kind: str) -> list[CompiledSet]:
        if kind not in self.sets:
            self.sets[kind] = list(sets_of_kind(kind))
        return self.sets[kind]

    def _take(self, target: Target, found: Seen | ConnectorError) -> None:
        if isinstance(found, ConnectorError):
            self.silent.append((target, found))
        else:
            self.seen.append((target, found))

    def _meanwhile(self, last: bool) -> None:
        moment = time.monotonic()
        waits = len(self.seen) + len(self.silent)
        if waits and (last or waits >= BATCH or moment - self.compared >= BATCH_S):
            self._compare()
        if moment - self.beat >= BEAT:
            still_here()
            self.beat = moment

    def _compare(self) -> None:
        seen, silent = self.seen, self.silent
        self.seen, self.silent, self.compared = [], [], time.monotonic()
        note_unseen({target: error.message for target, error in silent}, self.now())
        try:
            self._remove(compare_targets(seen=seen, now=self.now()))
        except Exception as error:  # a failed comparison must not hide the others
            if not is_connected():
                raise
            log.exception("reconcile.failed", targets=len(seen))
            if len(seen) > 1:
                for one in seen:
                    self.seen = [one]
                    self._compare()
            else:
                note_unseen({target: _odd(target, error).message for target, _ in seen}, self.now())

    def _remove(self, orphans: Sequence[tuple[Target, Found]]) -> None:
        for target, orphan in orphans:
            act = partial(_removed, self._connector(target.cluster.kind), target, orphan)
            self.fan.add(
                target.cluster_id,
                act,
                then=partial(self._note_removed, target, orphan),
                late=_LATE.format(target.name),
            )

    def _note_removed(self, target: Target, orphan: Found, error: str) -> None:
        note_removed(target=target, orphan=orphan, error=error, now=self.now())


def _in_turn() -> list[Cluster]:
    """Return the clusters, each with its ``live_targets``, in the order of reconciliation.

    Clusters with targets that did not respond come last. The others are sorted by their time since the last
    reconciliation, longest first.
    """
    targets = Target.objects.filter(removed_at__isnull=True).select_related("cluster", "observation")
    error, tried = (F(f"observation__{one}").asc(nulls_first=True) for one in ("error", "tried_at"))
    silent = Observation.objects.filter(target__cluster=OuterRef("pk"), target__removed_at__isnull=True)
    clusters = Cluster.objects.live().alias(silent=Exists(silent.exclude(error="")))
    return list(
        clusters.order_by("silent", "pk").prefetch_related(
            Prefetch("targets", queryset=targets.order_by(error, tried, "pk"), to_attr="live_targets")
        )
    )


def _odd(target: Target, error: Exception) -> ConnectorError:
    return ConnectorError(f"{target.name} could not be reached: {type(error).__name__}: {error}")


def _look(connector: Connector, target: Target, sets: Sequence[CompiledSet]) -> Seen | ConnectorError:
    try:
        place = place_of_target(target)
        unfit = connector.unfit_roles(place, sets) if isinstance(connector, RoleWatcher) else {}
        return Seen(
            connector.observe(place), {recordable(name): recordable(why) for name, why in unfit.items()}
        )
    except ConnectorError as error:
        return error
    except Exception as error:  # a failure of one target must not hide the others
        log.exception("observe.failed", target=target.name)
        return _odd(target, error)


def _removed(connector: Connector, target: Target, orphan: Found) -> str:
    """Remove a leftover. Return a sentence about why it still exists; empty if it is gone."""
    try:
        return recordable(_revoke(connector, orphan, place_of_target(target)))
    except ConnectorError as error:
        return recordable(error.message)
    except Exception as error:  # a failure of one target must not stop the others
        log.exception("orphan.failed", target=target.name)
        return recordable(_odd(target, error).message)


def _revoke(connector: Connector, orphan: Found, place: TargetSpec) -> str:
    """Remove a leftover.

    Return a sentence about what still exists; empty if nothing does. Raises ConnectorError.
    """
    if isinstance(connector, Sweeper):
        answers = [connector.sweep(place, orphan.marks)]
    else:
        answers = [
            connector.revoke(Left(grant_ref=orphan.grant_ref or UNKNOWN, mark=mark, place=place))
            for mark in for_a_while(orphan.marks)
        ]
        if len(answers) < len(orphan.marks):
            return "More objects are left than one run can remove. The rest will be removed within a minute."
    return next((answer.left for answer in answers if not answer.gone), "")
