"""Create a grant's access on its targets: at the grant's start, after an extension, and after access was
removed or changed on a target.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait

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
from broker.kernel.tracing import traced
from sessions_app.connectors.base import CALL_SECONDS, Connector, ConnectorError
from sessions_app.connectors.base import LeaseSpec as Made
from sessions_app.models import EndReason, Grant, GrantState, Lease
from sessions_app.operations.grants.end_grant import end_grant
from sessions_app.operations.grants.provision_grant import activate
from sessions_app.operations.targets.connect import connector_for, spec_of
from sessions_app.queries.grants.lives import life_of_grant
from sessions_app.queries.grants.revocation import to_make

log = structlog.get_logger(__name__)

PREPARER = Actor.system("provision")
# No call takes longer than this, so anything that a process began to create has arrived by then or never
# will. Includes a margin for delays in the process itself.
MAKING = dt.timedelta(seconds=CALL_SECONDS + 5)
# After this many temporary failures, within about a minute, the grant ends, and the holder is notified that
# it could not be started.
TRIES = 6
PLACES = 8
PLACES_IN_CLUSTER = 2
SOON = dt.timedelta(seconds=1)
_LIVE = (GrantState.PROVISIONING, GrantState.ACTIVE)
# An arbitrary number that no other two-key advisory lock in the database uses.
_PLACES_LOCK, _MAKES = 7_403, 7_405


@traced("stint.provision", life_of_grant)
def prepare_grant(*, grant_id: int, now: Callable[[], dt.datetime]) -> Grant:
    """Create the missing access of a PROVISIONING or ACTIVE grant, on all its targets in parallel.

    A PROVISIONING grant then becomes ACTIVE.

    Failed targets are retried a few times. After that, or after a permanent failure, a grant that has not
    started ends. If the grant is revoked in the meantime, the access that was created is also revoked. A
    process whose claim was taken over changes nothing. ``now`` is called repeatedly, because calls to targets
    take time.
    """
    with shown(*maker_of(grant_id)):
        return _prepare(grant_id, now)


def maker_of(grant_id: int) -> tuple[int, int]:
    """Return the two numbers of the advisory lock that a process holds while it creates something for the
    grant.
    """
    return _MAKES, grant_id % 2**31


def _prepare(grant_id: int, now: Callable[[], dt.datetime]) -> Grant:
    leases = _claim(grant_id, now())
    grant = Grant.objects.select_related("cluster", "holder", "command_set_version").get(pk=grant_id)
    if leases is None:
        return grant
    results = _make(leases, grant, now)
    with transaction.atomic():
        locked = Grant.objects.select_for_update(no_key=True).get(pk=grant_id)
        mine = [(lease, result) for lease, result in results if _own(lease).exists()]
        if mine or not leases:
            errors = [
                error for lease, result in mine if (error := _note(locked, grant, lease, result, now()))
            ]
            _go_on(locked, errors, now())
    locked.refresh_from_db()
    return locked


def _claim(grant_id: int, now: dt.datetime) -> list[Lease] | None:
    """Return the leases to create, marked as in progress; None if there are none, or if another process is
    working on the grant, or if too many grants of the cluster are being prepared.

    The mark distinguishes this claim from later ones. No lock is held during the claim, so a stopped process
    blocks others only until its claim expires.
    """
    with transaction.atomic():
        grant = Grant.objects.select_for_update(skip_locked=True, no_key=True).filter(pk=grant_id).first()
        if grant is None or grant.state not in _LIVE or grant.expires_at <= now or not stands():
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
    """Whether too many grants of the cluster are already being prepared, so that hanging targets occupy few
    workers.
    """
    with connection.cursor() as cursor:
        # Otherwise, two processes that count at the same time would both take the last slot.
        cursor.execute("SELECT pg_advisory_xact_lock(%s, %s)", [_PLACES_LOCK, grant.cluster_id % 2**31])
    busy = (
        Lease.objects.filter(making_until__gt=now, grant__cluster=grant.cluster_id).values("grant").distinct()
    )
    return busy.count() >= PLACES_IN_CLUSTER


def _make(
    leases: Sequence[Lease], grant: Grant, now: Callable[[], dt.datetime]
) -> list[tuple[Lease, Made | ConnectorError]]:
    """Call all targets, several in parallel, so that a hanging target delays only a few others."""
    if not leases:
        return []
    try:
        connector = connector_for(grant.cluster.kind)
    except ConnectorError as error:
        return [(lease, error) for lease in leases]
    results: list[tuple[Lease, Made | ConnectorError]] = []
    asked: dict[Future[Made | ConnectorError], Lease] = {}
    with ThreadPoolExecutor(max_workers=min(PLACES, len(leases))) as pool:
        for number, lease in enumerate(leases):
            if len(asked) == PLACES:
                answers, _ = wait(asked, return_when=FIRST_COMPLETED)
                results += [(asked.pop(answer), answer.result()) for answer in answers]
            if _begin(leases[number:], now()):
                asked[pool.submit(_ask, connector, grant, lease)] = lease
            else:
                results.append(
                    (
                        lease,
                        ConnectorError("The target was not called, because the grant or its claim ended."),
                    )
                )
        return results + [(lease, answer.result()) for answer, lease in asked.items()]


def _begin(leases: Sequence[Lease], now: dt.datetime) -> bool:
    """Renew the claim on the next target to call, and on the targets queued after it.

    Return False if the target must not be called, because the grant has ended or the claim has expired:
    another process may already have confirmed that nothing is there. A call ends before a claim expires, so
    the queued targets keep their claims.
    """
    claimed, until = leases[0].making_until, now + MAKING
    live = Grant.objects.filter(state__in=_LIVE)
    held = Lease.objects.filter(
        pk__in=[lease.pk for lease in leases],
        making_until=claimed,
        making_until__gt=now,
        gone_at__isnull=True,
        grant__in=live,
    )
    if not held.update(making_until=until):
        return False
    for lease in leases:
        lease.making_until = until
    return True


def _ask(connector: Connector, grant: Grant, lease: Lease) -> Made | ConnectorError:
    try:
        return connector.provision(spec_of(lease, grant))
    except ConnectorError as error:
        return error
    except Exception as error:  # a failure of one target must not hide the others' answers
        log.exception("provision.failed", grant=grant.ref, target=lease.target.name)
        return ConnectorError(f"The target could not be reached: {type(error).__name__}: {error}")


def _own(lease: Lease) -> QuerySet[Lease]:
    """Return the lease if this claim is still valid and the lease has not been confirmed as gone."""
    return Lease.objects.filter(pk=lease.pk, making_until=lease.making_until, gone_at__isnull=True)


def _note(
    locked: Grant, asked: Grant, lease: Lease, result: Made | ConnectorError, now: dt.datetime
) -> ConnectorError | None:
    """Store a target's answer. Return the error, if any."""
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
        event=Event.LEASE_PREPARED,
        actor=PREPARER,
        object_type="grant",
        object_ref=locked.ref,
        now=now,
        data={
            "target": lease.target.name,
            "made": recorded(result.made),
            "until": asked.expires_at.isoformat(),
        },
    )
    return None


def recorded(made: Json) -> Json:
    """Return a description of the created access in a form that the record can store."""
    if isinstance(made, Mapping):
        return {recordable(str(key)): recorded(value) for key, value in made.items()}
    if isinstance(made, str):
        return recordable(made)
    if isinstance(made, Sequence):
        return [recorded(value) for value in made]
    return made


def _go_on(grant: Grant, errors: Sequence[ConnectorError], now: dt.datetime) -> None:
    if grant.state in (GrantState.REVOKING, GrantState.ENDED):
        # Revoke the access that was created in the meantime. A process that is already revoking may get
        # answers from before the creation, so its claim is canceled.
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
