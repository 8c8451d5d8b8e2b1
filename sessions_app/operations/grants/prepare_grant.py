"""Make on targets what a grant needs, at its start, after an extension, and where somebody removed or changed it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

import structlog
from django.db import connection, transaction
from django.db.models import F, QuerySet

from broker.audit.actor import Actor
from broker.audit.backlog import record_end
from broker.audit.events import Event
from broker.audit.record import Json
from broker.audit.standing import stands
from broker.kernel.enqueue import enqueue
from broker.kernel.lock import shown
from broker.kernel.text import recordable
from sessions_app.connectors.base import CALL_SECONDS, Connector, ConnectorError
from sessions_app.connectors.base import Lease as Made
from sessions_app.models import EndReason, Grant, GrantState, Lease
from sessions_app.operations.grants.end_grant import end_grant
from sessions_app.operations.grants.provision_grant import activate
from sessions_app.operations.targets.connect import connector_for, spec_of
from sessions_app.queries.revoking import to_make

log = structlog.get_logger(__name__)

PREPARER = Actor.system("provision")
# No call lasts longer, so that what a process began is finished or never comes; a little is for its own delays.
MAKING = dt.timedelta(seconds=CALL_SECONDS + 5)
# After so many failures that could have passed, about a minute, the holder is told that it can't be started.
TRIES = 6
PLACES = 8
PLACES_IN_CLUSTER = 2
SOON = dt.timedelta(seconds=1)
# Any numbers that no other part of the database uses for advisory locks of two keys.
_PLACES_LOCK, _MAKES = 7_403, 7_405


def prepare_grant(*, grant_id: int, now: Callable[[], dt.datetime]) -> Grant:
    """Make what a PROVISIONING or ACTIVE grant lacks on its targets, all at once; with everything made, a grant that waits
    for it becomes ACTIVE.

    A target that fails is tried again a few times; then, or when it fails for good, a grant that has not begun ends. A
    revoke in the meantime wins: what was created is revoked after it. A process that was overtaken changes nothing.
    ``now`` is called, because targets take time.
    """
    with shown(*maker_of(grant_id)):
        return _prepare(grant_id, now)


def maker_of(grant_id: int) -> tuple[int, int]:
    """Return the numbers under which a process shows that it is making something for the grant."""
    return _MAKES, grant_id % 2**31


def _prepare(grant_id: int, now: Callable[[], dt.datetime]) -> Grant:
    leases = _claim(grant_id, now())
    grant = Grant.objects.select_related("cluster", "holder", "command_set_version").get(pk=grant_id)
    if leases is None:
        return grant
    results = _make(leases, grant)
    with transaction.atomic():
        locked = Grant.objects.select_for_update().get(pk=grant_id)
        mine = [(lease, result) for lease, result in results if _own(lease).exists()]
        if mine or not leases:
            errors = [
                error for lease, result in mine if (error := _note(locked, grant, lease, result, now()))
            ]
            _go_on(locked, errors, now())
    locked.refresh_from_db()
    return locked


def _claim(grant_id: int, now: dt.datetime) -> list[Lease] | None:
    """Return the leases to make, marked as being made; None when there are none, or another process is at it.

    The mark tells this claim from a later one. No lock is held meanwhile, so that a process that is stopped holds nobody
    up for longer than its claim lasts.
    """
    with transaction.atomic():
        grant = Grant.objects.select_for_update(skip_locked=True).filter(pk=grant_id).first()
        live = grant is not None and grant.state in (GrantState.PROVISIONING, GrantState.ACTIVE)
        if grant is None or not live or grant.expires_at <= now or not stands():
            return None
        if grant.leases.filter(making_until__gt=now).exists():
            return None
        leases = list(to_make(grant).select_related("target").order_by("target__name"))
        if not leases and grant.state == GrantState.ACTIVE:
            return None
        if leases and _is_crowded(grant, now):
            Grant.objects.filter(pk=grant_id).update(next_attempt_at=now + SOON)
            return None
        for lease in leases:
            lease.making_until = now + MAKING
        Lease.objects.bulk_update(leases, ["making_until"])
        Grant.objects.filter(pk=grant_id).update(next_attempt_at=now + MAKING, attempts=F("attempts") + 1)
    return leases


def _is_crowded(grant: Grant, now: dt.datetime) -> bool:
    """Whether as many grants are being made on the cluster as may be, so that one whose targets hang keeps few workers."""
    with connection.cursor() as cursor:
        # Two that count at the same moment would both find the last place free.
        cursor.execute("SELECT pg_advisory_xact_lock(%s, %s)", [_PLACES_LOCK, grant.cluster_id % 2**31])
    busy = (
        Lease.objects.filter(making_until__gt=now, grant__cluster=grant.cluster_id).values("grant").distinct()
    )
    return busy.count() >= PLACES_IN_CLUSTER


def _make(leases: Sequence[Lease], grant: Grant) -> list[tuple[Lease, Made | ConnectorError]]:
    """Ask all targets at once, so that one that hangs delays no other."""
    if not leases:
        return []
    try:
        connector = connector_for(grant.cluster.kind)
    except ConnectorError as error:
        return [(lease, error) for lease in leases]
    with ThreadPoolExecutor(max_workers=min(PLACES, len(leases))) as pool:
        return list(zip(leases, pool.map(lambda lease: _ask(connector, grant, lease), leases), strict=True))


def _ask(connector: Connector, grant: Grant, lease: Lease) -> Made | ConnectorError:
    try:
        return connector.provision(spec_of(lease, grant))
    except ConnectorError as error:
        return error
    except Exception as error:  # the edge of one target: what nobody foresaw there may not hide the others
        log.exception("provision.failed", grant=grant.ref, target=lease.target.name)
        return ConnectorError(f"The target could not be reached: {type(error).__name__}: {error}")


def _own(lease: Lease) -> QuerySet[Lease]:
    """Return the lease only as long as this very claim of it stands, and nobody has proven it gone."""
    return Lease.objects.filter(pk=lease.pk, making_until=lease.making_until, gone_at__isnull=True)


def _note(
    locked: Grant, asked: Grant, lease: Lease, result: Made | ConnectorError, now: dt.datetime
) -> ConnectorError | None:
    """Write down what a target answered; return the error, if any."""
    if isinstance(result, ConnectorError):
        error = f"{lease.target.name}: {recordable(result.message)}"
        _own(lease).update(making_until=None, last_error=recordable(result.message))
        return ConnectorError(error, permanent=result.permanent)
    _own(lease).update(
        making_until=None,
        made=result.made,
        made_until=asked.expires_at,
        last_error="",
        before=lease.before or result.before,
    )
    record_end(
        event=Event.LEASE_PREPARED, actor=PREPARER, object_type="grant", object_ref=locked.ref, now=now,
        data={"target": lease.target.name, "made": recorded(result.made), "until": asked.expires_at.isoformat()},
    )  # fmt: skip
    return None


def recorded(made: Json) -> Json:
    """Return what was made as the record can hold it."""
    if isinstance(made, Mapping):
        return {recordable(str(key)): recorded(value) for key, value in made.items()}
    if isinstance(made, str):
        return recordable(made)
    if isinstance(made, Sequence):
        return [recorded(value) for value in made]
    return made


def _go_on(grant: Grant, errors: Sequence[ConnectorError], now: dt.datetime) -> None:
    if grant.state in (GrantState.REVOKING, GrantState.ENDED):
        # What was created meanwhile is revoked now. What targets answer to who asks them at this moment may be older than what
        # was made, so that its claim is taken from it.
        Grant.objects.filter(pk=grant.pk, state=GrantState.REVOKING).update(
            next_attempt_at=now, attempts=F("attempts") + 1
        )
        enqueue("grants.deprovision", grant_id=grant.pk)
        return
    text = "; ".join(error.message for error in errors)
    waiting = grant.state == GrantState.PROVISIONING
    if not errors and waiting:
        activate(grant, now)
    elif waiting and (any(error.permanent for error in errors) or grant.attempts >= TRIES):
        end_grant(grant_id=grant.pk, actor=None, reason=EndReason.PROVISION_FAILED, now=now, note=text)
    else:
        wait = min(30, 2**grant.attempts)
        again = now + dt.timedelta(seconds=wait) if errors else None
        Grant.objects.filter(pk=grant.pk).update(last_error=text, next_attempt_at=again)
