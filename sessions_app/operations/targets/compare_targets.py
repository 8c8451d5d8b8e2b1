"""Compare the observations of targets with the expected objects, and restore missing access."""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from django.db import transaction
from django.db.models import F, Q

from broker.audit.actor import Actor
from broker.audit.backlog import record_end
from broker.audit.events import Event
from broker.kernel.enqueue import enqueue
from broker.kernel.text import recordable
from sessions_app.connectors.base import Observed
from sessions_app.connectors.registry import type_of
from sessions_app.models import Drift, DriftKind, Grant, GrantState, Lease, Observation, Target
from sessions_app.queries.grants.revocation import installation_mark

RECONCILER = Actor.system("reconcile")
# Represents all marks on a target that belong to no known grant, because a holder could invent any number of
# marks.
UNKNOWN = "unknown"
EXAMPLES = 3
# Grants that are being provisioned or revoked right now are compared in the next round.
SETTLED = dt.timedelta(seconds=30)


@dataclass(frozen=True, slots=True)
class Found:
    """One difference: its kind, its grant, and a description.

    All unknown marks on a target count as one difference.
    """

    kind: DriftKind
    mark: str
    grant_ref: str = ""
    detail: str = ""
    # The lease to revoke, if the difference is a leftover.
    marks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Seen:
    """The observation of a target: the objects of grants, and the roles that no grant may have."""

    observed: Sequence[Observed]
    unfit: Mapping[str, str]


def compare_targets(*, seen: Sequence[tuple[Target, Seen]], now: dt.datetime) -> list[tuple[Target, Found]]:
    """Store the observations of targets, and their differences from the expected objects.

    Return the leftovers, which the caller must remove. The worker restores missing access of active
    grants. The number of queries does not depend on the number of targets.
    """
    if not seen:
        return []
    targets = [target for target, _ in seen]
    _note_seen(seen, now)
    leases, grants, known = _leases(targets, now), _grants(seen), _known(targets)
    ours = installation_mark()
    orphans: list[tuple[Target, Found]] = []
    for target, one in seen:
        there = {observed.mark: observed for observed in one.observed}
        lacking = list(_lacking(leases[target.pk], there))
        left = list(_orphans(there, grants, ours, now))
        _note(target, [*lacking, *left], known[target.pk], now)
        if lacking:
            _unmake(target, lacking)
        orphans += [(target, orphan) for orphan in left]
    _have_made({target.cluster_id for target in targets}, now)
    return orphans


def note_unseen(errors: Mapping[Target, str], now: dt.datetime) -> None:
    """Store why targets could not be observed."""
    rows = [
        Observation(target=target, tried_at=now, error=recordable(error)) for target, error in errors.items()
    ]
    _keep(rows, ["tried_at", "error"])


def note_removed(*, target: Target, orphan: Found, error: str, now: dt.datetime) -> None:
    """Store that a leftover was removed, or the ``error`` if it was not."""
    drift = Drift.objects.filter(target=target, kind=DriftKind.ORPHAN, mark=orphan.mark, gone_at__isnull=True)
    if error:
        drift.update(error=error)
        return
    with transaction.atomic():
        for one in drift:
            _gone(one, target, now)


def _note_seen(seen: Sequence[tuple[Target, Seen]], now: dt.datetime) -> None:
    rows = [
        Observation(target=target, tried_at=now, seen_at=now, grants=len(one.observed), unfit=one.unfit)
        for target, one in seen
    ]
    _keep(rows, ["tried_at", "seen_at", "grants", "error", "unfit"])


def _keep(rows: Sequence[Observation], fields: Sequence[str]) -> None:
    Observation.objects.bulk_create(
        rows, update_conflicts=True, unique_fields=["target"], update_fields=fields
    )


def _leases(targets: Sequence[Target], now: dt.datetime) -> Mapping[int, list[Lease]]:
    """Return, for each target, the leases of active grants whose access is visible on the target."""
    kinds = {target.cluster.kind for target in targets}
    shown = {kind for kind in kinds if type_of(kind).prepares and type_of(kind).shows}
    found: dict[int, list[Lease]] = defaultdict(list)
    wanted = Lease.objects.filter(
        target__in=[target for target in targets if target.cluster.kind in shown],
        gone_at__isnull=True,
        made_until__isnull=False,
        making_until__isnull=True,
        grant__state=GrantState.ACTIVE,
        grant__expires_at__gt=now,
    ).select_related("grant")
    for lease in wanted:
        found[lease.target_id].append(lease)
    return found


def _grants(seen: Sequence[tuple[Target, Seen]]) -> Mapping[str, Grant]:
    marks = {observed.mark for _, one in seen for observed in one.observed}
    return {grant.mark: grant for grant in Grant.objects.filter(mark__in=marks)}


def _known(targets: Sequence[Target]) -> Mapping[int, list[Drift]]:
    found: dict[int, list[Drift]] = defaultdict(list)
    for drift in Drift.objects.filter(target__in=targets, gone_at__isnull=True):
        found[drift.target_id].append(drift)
    return found


def _lacking(leases: Iterable[Lease], there: Mapping[str, Observed]) -> Iterable[Found]:
    for lease in leases:
        seen = there.get(lease.grant.mark)
        if seen is None:
            yield Found(DriftKind.MISSING, lease.grant.mark, lease.grant.ref, "not found on the target")
        elif not seen.intact:
            yield Found(DriftKind.CHANGED, lease.grant.mark, lease.grant.ref, recordable(seen.detail))


def _orphans(
    there: Mapping[str, Observed], grants: Mapping[str, Grant], ours: str, now: dt.datetime
) -> Iterable[Found]:
    """Yield leftovers: objects that belong to unknown grants, or to grants that were confirmed gone."""
    for mark in there:
        if mark in grants and _is_over(grants[mark], now):
            yield Found(DriftKind.ORPHAN, mark, grants[mark].ref, recordable(there[mark].detail), (mark,))
    # Ignore objects that another Stint installation created on the same target.
    unknown = [seen for mark, seen in there.items() if mark not in grants and mark.startswith(ours)]
    if unknown:
        yield _unknown(unknown)


def _unknown(found: Sequence[Observed]) -> Found:
    examples = ", ".join(f"{one.mark} ({one.detail})" for one in found[:EXAMPLES])
    grant_ref = recordable(found[0].grant_ref)[:12] if len(found) == 1 else ""
    detail = f"{len(found)} that belong to no known grant: {examples}{', …' if len(found) > EXAMPLES else ''}"
    marks = tuple(one.mark for one in found)
    return Found(DriftKind.ORPHAN, UNKNOWN, grant_ref, recordable(detail), marks)


def _is_over(grant: Grant, now: dt.datetime) -> bool:
    ended = grant.state == GrantState.ENDED
    return ended and grant.ended_at is not None and grant.ended_at <= now - SETTLED


def _note(target: Target, found: Sequence[Found], before: Sequence[Drift], now: dt.datetime) -> None:
    """Store the new differences, and those that are resolved, with a record entry for each."""
    known = {(one.kind, one.mark): one for one in before}
    fresh = [one for one in found if known.pop((one.kind, one.mark), None) is None]
    if not fresh and not known:
        return
    with transaction.atomic():
        for one in fresh:
            Drift.objects.create(
                target=target,
                kind=one.kind,
                mark=one.mark,
                grant_ref=one.grant_ref,
                detail=one.detail,
                seen_at=now,
            )
            _record(Event.DRIFT_DETECTED, target, one.kind, one.grant_ref, one.detail, now)
        for gone in known.values():
            _gone(gone, target, now)


def _gone(drift: Drift, target: Target, now: dt.datetime) -> None:
    if Drift.objects.filter(pk=drift.pk, gone_at__isnull=True).update(gone_at=now, error=""):
        _record(Event.DRIFT_RESOLVED, target, drift.kind, drift.grant_ref, drift.detail, now)


def _record(event: Event, target: Target, kind: str, grant_ref: str, detail: str, now: dt.datetime) -> None:
    record_end(
        event=event,
        actor=RECONCILER,
        object_type="cluster",
        object_ref=target.cluster.name,
        now=now,
        data={"target": target.name, "drift": str(kind), "grant": grant_ref, "detail": detail},
    )


def _unmake(target: Target, lacking: Sequence[Found]) -> None:
    """Mark the missing access of active grants on a target, so that the access is created again."""
    marks = [one.mark for one in lacking]
    Lease.objects.filter(target=target, grant__mark__in=marks, gone_at__isnull=True).update(made_until=None)


def _have_made(cluster_ids: Iterable[int], now: dt.datetime) -> None:
    """Queue incomplete grants for completion.

    A grant is incomplete if its access was not created, or does not last as long as the grant: after a
    change on a target, an extension, or a lost message.
    """
    short = Q(leases__made_until__isnull=True) | Q(leases__made_until__lt=F("expires_at"))
    unmade = Grant.objects.filter(state=GrantState.ACTIVE, cluster__in=cluster_ids, expires_at__gt=now)
    for grant_id in set(unmade.filter(Q(leases__gone_at__isnull=True) & short).values_list("pk", flat=True)):
        enqueue("grants.prepare", grant_id=grant_id)
