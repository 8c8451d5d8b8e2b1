"""Compare what should be on the targets of a cluster with what is there, and repair Stint's access."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass

import structlog
from django.db import transaction
from django.db.models import Exists, F, OuterRef, Q, Subquery

from broker.audit.actor import Actor
from broker.audit.backlog import record_end
from broker.audit.events import Event
from broker.kernel.each_free import for_a_while
from broker.kernel.enqueue import enqueue
from broker.kernel.lock import held, still_here
from broker.kernel.text import recordable
from sessions_app.connectors.base import (
    CALL_SECONDS,
    Connector,
    ConnectorError,
    Observed,
    Place,
    RoleWatcher,
    Sweeper,
)
from sessions_app.connectors.base import Lease as Left
from sessions_app.connectors.registry import type_of
from sessions_app.models import Cluster, Drift, DriftKind, Grant, GrantState, Lease, Observation, Target
from sessions_app.operations.targets.connect import connector_for, place_of_target
from sessions_app.policy.commands.answers import CompiledSet
from sessions_app.queries.revoking import installation_mark
from sessions_app.queries.unfit import sets_of_kind

log = structlog.get_logger(__name__)

RECONCILER = Actor.system("reconcile")
PLACES = 8
# Seconds. A process that reconciles reports this often that it is alive, while it waits for targets. One that was
# silent for longer than any call can take was stopped.
BEAT = 5
SILENT = CALL_SECONDS + 15
# Arbitrary numbers that nothing else in the database uses for two-key advisory locks.
_RECONCILES, _ROUND = 7_402, 7_404
# Stands for all marks on a target that belong to no grant: a holder can make up any number of them.
UNKNOWN = "unknown"
EXAMPLES = 3
# What is being provisioned or revoked at this moment is compared the next time.
SETTLED = dt.timedelta(seconds=30)


@dataclass(frozen=True, slots=True)
class Found:
    """One difference: its kind, its grant, and what it is, in words. Unknown marks of a target are one difference."""

    kind: DriftKind
    mark: str
    grant_ref: str = ""
    detail: str = ""
    # What has to be removed, if it is left over.
    marks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Seen:
    """The result of one look at a target: what is there of grants, and the roles that no grant may have."""

    observed: Sequence[Observed]
    unfit: Mapping[str, str]


def reconcile_all(*, now: Callable[[], dt.datetime]) -> None:
    """Reconcile every cluster, one after the other.

    Clusters that did not answer the last time come last, so that they delay the others as little as possible. Before
    them, those that waited longest come first. One process at a time does this: hanging targets use no more threads
    than those of one cluster, and leave workers for ends. If that process is stopped halfway, another one takes over.
    """
    with held(_ROUND, 0, silent=SILENT) as mine:
        if mine:
            for cluster in _in_turn():
                _take_a_turn(cluster, now)


def reconcile_cluster(*, cluster_id: int, now: Callable[[], dt.datetime]) -> None:
    """Check every target of a cluster and store what was seen.

    What an active grant lacks is created again, and what is left of a grant that is over is removed. Each is recorded
    when it is first seen and when it is gone. One process at a time does this for a cluster. A target that does not
    answer does not keep the others from being reconciled.
    """
    cluster = Cluster.objects.live().filter(pk=cluster_id).first()
    if cluster is None:
        return
    with held(_RECONCILES, cluster_id % 2**31, silent=SILENT) as mine:
        if mine:
            _reconcile(cluster, now)


def _in_turn() -> list[Cluster]:
    """Return the clusters where something may be, or may have been left, in the order of reconciliation."""
    seen = Observation.objects.filter(target__cluster=OuterRef("pk"), target__removed_at__isnull=True)
    waited = seen.order_by("tried_at").values("tried_at")[:1]
    clusters = Cluster.objects.live().alias(silent=Exists(seen.exclude(error="")), tried_at=Subquery(waited))
    return list(clusters.order_by("silent", F("tried_at").asc(nulls_first=True), "pk"))


def _take_a_turn(cluster: Cluster, now: Callable[[], dt.datetime]) -> None:
    try:
        reconcile_cluster(cluster_id=cluster.pk, now=now)
    except Exception as error:  # one cluster's failure must not hide the others
        log.exception("reconcile.failed", cluster=cluster.name)
        for target in _targets(cluster):
            _unseen(target, ConnectorError(f"Reconciliation failed: {type(error).__name__}: {error}"), now())


def _targets(cluster: Cluster) -> list[Target]:
    return list(cluster.targets.filter(removed_at__isnull=True).select_related("cluster").order_by("pk"))


def _reconcile(cluster: Cluster, now: Callable[[], dt.datetime]) -> None:
    targets = _targets(cluster)
    try:
        connector = connector_for(cluster.kind)
    except ConnectorError as error:
        for target in targets:
            _unseen(target, error, now())
        return
    with ThreadPoolExecutor(max_workers=PLACES) as pool:
        sets = sets_of_kind(cluster.kind) if isinstance(connector, RoleWatcher) else []
        asked = [pool.submit(_look, connector, target, sets) for target in targets]
        while wait(asked, timeout=BEAT).not_done:
            still_here()
        seen = [one.result() for one in asked]
    for target, observed in zip(targets, seen, strict=True):
        if isinstance(observed, ConnectorError):
            _unseen(target, observed, now())
        else:
            _compare(connector, target, observed, now)


def _look(connector: Connector, target: Target, sets: Sequence[CompiledSet]) -> Seen | ConnectorError:
    try:
        place = place_of_target(target)
        unfit = connector.unfit_roles(place, sets) if isinstance(connector, RoleWatcher) else {}
        return Seen(
            connector.observe(place), {recordable(name): recordable(why) for name, why in unfit.items()}
        )
    except ConnectorError as error:
        return error
    except Exception as error:  # one target's failure must not hide the others
        log.exception("observe.failed", target=target.name)
        return ConnectorError(f"{target.name} could not be reached: {type(error).__name__}: {error}")


def _unseen(target: Target, error: ConnectorError, now: dt.datetime) -> None:
    Observation.objects.update_or_create(
        target=target, defaults={"tried_at": now, "error": recordable(error.message)}
    )


def _compare(connector: Connector, target: Target, seen: Seen, now: Callable[[], dt.datetime]) -> None:
    at, observed = now(), seen.observed
    Observation.objects.update_or_create(
        target=target,
        defaults={
            "tried_at": at, "seen_at": at, "grants": len(observed), "error": "", "unfit": seen.unfit,
        },
    )  # fmt: skip
    found = _differences(target, observed, at)
    _note(target, found, at)
    _repair(target, [one for one in found if one.kind != DriftKind.ORPHAN], at)
    for orphan in for_a_while([one for one in found if one.kind == DriftKind.ORPHAN]):
        still_here()
        _remove(connector, target, orphan, now)


def _differences(target: Target, observed: Sequence[Observed], now: dt.datetime) -> list[Found]:
    there = {one.mark: one for one in observed}
    return [*_lacking(target, there, now), *_orphans(there, now)]


def _lacking(target: Target, there: Mapping[str, Observed], now: dt.datetime) -> Iterable[Found]:
    kind = type_of(target.cluster.kind)
    if not (kind.prepares and kind.shows):
        return
    wanted = Lease.objects.filter(
        target=target, gone_at__isnull=True, made_until__isnull=False, making_until__isnull=True,
        grant__state=GrantState.ACTIVE, grant__expires_at__gt=now,
    ).select_related("grant")  # fmt: skip
    for lease in wanted:
        seen = there.get(lease.grant.mark)
        if seen is None:
            yield Found(DriftKind.MISSING, lease.grant.mark, lease.grant.ref, "not found on the target")
        elif not seen.intact:
            yield Found(DriftKind.CHANGED, lease.grant.mark, lease.grant.ref, recordable(seen.detail))


def _orphans(there: Mapping[str, Observed], now: dt.datetime) -> Iterable[Found]:
    """Yield what is there and should not be: of unknown grants, or of grants that are over and were proven gone."""
    ours = installation_mark()
    grants = {grant.mark: grant for grant in Grant.objects.filter(mark__in=list(there))}
    for mark, grant in grants.items():
        if _is_over(grant, now):
            yield Found(DriftKind.ORPHAN, mark, grant.ref, recordable(there[mark].detail), (mark,))
    # What another installation created on the same target is none of this one's business.
    unknown = [seen for mark, seen in there.items() if mark not in grants and mark.startswith(ours)]
    if unknown:
        yield _unknown(unknown)


def _unknown(found: Sequence[Observed]) -> Found:
    examples = ", ".join(f"{one.mark} ({one.detail})" for one in found[:EXAMPLES])
    grant_ref = recordable(found[0].grant_ref)[:12] if len(found) == 1 else ""
    detail = f"{len(found)} of no known grant: {examples}{', …' if len(found) > EXAMPLES else ''}"
    marks = tuple(one.mark for one in found)
    return Found(DriftKind.ORPHAN, UNKNOWN, grant_ref, recordable(detail), marks)


def _is_over(grant: Grant, now: dt.datetime) -> bool:
    ended = grant.state == GrantState.ENDED
    return ended and grant.ended_at is not None and grant.ended_at <= now - SETTLED


def _note(target: Target, found: Sequence[Found], now: dt.datetime) -> None:
    """Store which differences are new and which are gone, with a record entry for each."""
    known = {(one.kind, one.mark): one for one in Drift.objects.filter(target=target, gone_at__isnull=True)}
    with transaction.atomic():
        for one in found:
            if known.pop((one.kind, one.mark), None) is None:
                Drift.objects.create(
                    target=target, kind=one.kind, mark=one.mark, grant_ref=one.grant_ref, detail=one.detail, seen_at=now
                )  # fmt: skip
                _record(Event.DRIFT_DETECTED, target, one.kind, one.grant_ref, one.detail, now)
        for gone in known.values():
            _gone(gone, target, now)


def _gone(drift: Drift, target: Target, now: dt.datetime) -> None:
    if Drift.objects.filter(pk=drift.pk, gone_at__isnull=True).update(gone_at=now, error=""):
        _record(Event.DRIFT_RESOLVED, target, drift.kind, drift.grant_ref, drift.detail, now)


def _record(event: Event, target: Target, kind: str, grant_ref: str, detail: str, now: dt.datetime) -> None:
    record_end(
        event=event, actor=RECONCILER, object_type="cluster", object_ref=target.cluster.name, now=now,
        data={"target": target.name, "drift": str(kind), "grant": grant_ref, "detail": detail},
    )  # fmt: skip


def _repair(target: Target, lacking: Sequence[Found], now: dt.datetime) -> None:
    """Have what active grants lack created again."""
    marks = [one.mark for one in lacking]
    with transaction.atomic():
        leases = Lease.objects.filter(target=target, grant__mark__in=marks, gone_at__isnull=True)
        grant_ids = list(leases.values_list("grant_id", flat=True))
        leases.update(made_until=None)
        unmade = Grant.objects.filter(state=GrantState.ACTIVE, cluster=target.cluster, expires_at__gt=now)
        for grant_id in {*grant_ids, *unmade.filter(_short()).values_list("pk", flat=True)}:
            enqueue("grants.prepare", grant_id=grant_id)


def _short() -> Q:
    """Return the condition that an extension or a lost message left a grant incomplete: nothing was created, or not for
    as long as the grant lasts.
    """
    return Q(leases__gone_at__isnull=True) & (
        Q(leases__made_until__isnull=True) | Q(leases__made_until__lt=F("expires_at"))
    )


def _remove(connector: Connector, target: Target, orphan: Found, now: Callable[[], dt.datetime]) -> None:
    try:
        error = recordable(_revoke(connector, orphan, place_of_target(target)))
    except ConnectorError as failed:
        error = recordable(failed.message)
    except Exception as odd:  # one target's failure must not stop the others
        log.exception("orphan.failed", target=target.name)
        error = recordable(f"The target could not be reached: {type(odd).__name__}: {odd}")
    drift = Drift.objects.filter(target=target, kind=DriftKind.ORPHAN, mark=orphan.mark, gone_at__isnull=True)
    if error:
        drift.update(error=error)
        return
    with transaction.atomic():
        for one in drift:
            _gone(one, target, now())


def _revoke(connector: Connector, orphan: Found, place: Place) -> str:
    """Remove what is left over, and return what still is, in a sentence; empty if nothing is. Raises ConnectorError."""
    if isinstance(connector, Sweeper):
        answers = [connector.sweep(place, orphan.marks)]
    else:
        answers = []
        for mark in for_a_while(orphan.marks):
            still_here()
            left = Left(grant_ref=orphan.grant_ref or UNKNOWN, mark=mark, place=place)
            answers.append(connector.revoke(left))
        if len(answers) < len(orphan.marks):
            return "More is left than could be removed at once. The rest follows within a minute."
    return next((answer.left for answer in answers if not answer.gone), "")
