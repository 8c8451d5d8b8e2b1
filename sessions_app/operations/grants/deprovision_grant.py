"""Revoke everything that a grant may have left on targets, and confirm that nothing remains."""

from __future__ import annotations

import datetime as dt
import random
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import Any

import structlog
from django.db import connection, transaction
from django.db.models import F, Max, Q

from accounts.models import Identity
from broker.audit.actor import Actor
from broker.audit.backlog import record_end
from broker.audit.events import Event
from broker.audit.record import Json
from broker.kernel.lock import is_shown
from broker.kernel.metrics import ENDS
from broker.kernel.postgresql.prepared import prepared
from broker.kernel.postgresql.rows import Rows, ask
from broker.kernel.text import recordable
from broker.kernel.tracing import traced
from sessions_app.connectors.base import CALL_SECONDS, Connector, ConnectorError, Evidence
from sessions_app.models import Asks, Grant, GrantState, Lease, ReturnedValue, Session
from sessions_app.models.grant import GrantQuerySet
from sessions_app.operations.grants.cut_unfinished import cut_unfinished, record_finished
from sessions_app.operations.grants.prepare_grant import maker_of, recorded
from sessions_app.operations.grants.transition import StaleGrant, transition
from sessions_app.operations.notifications.notify import notify
from sessions_app.operations.notifications.notify_of_end import notify_of_end
from sessions_app.operations.targets.connect import connector_for, lease_of
from sessions_app.queries.grants.lives import life_of_grant
from sessions_app.queries.grants.revocation import (
    how_commands_ran,
    is_in_use,
    neighbors_of,
    unfinished_uploads,
)
from sessions_app.queries.status.end_latency import cause_of, seconds_to_prove

log = structlog.get_logger(__name__)

Answer = Future[Evidence | ConnectorError]

DEPROVISIONER = Actor.system("deprovision")
# If the process that claimed a grant dies, another process takes over after this long, so that the end is
# still confirmed within two seconds. A process that waits for targets renews its claim, but only up to
# the maximum duration of a call.
CLAIM, RENEWED = dt.timedelta(seconds=1.25), dt.timedelta(seconds=0.5)
# The limit after the targets have been silent for two seconds, because each renewal then needs a new
# connection. It also applies to a grant that was claimed so often that processes may be too slow to renew
# their claims.
SILENT = dt.timedelta(seconds=2)
CLAIM_SILENT, RENEWED_SILENT = dt.timedelta(seconds=5), dt.timedelta(seconds=2)
OFTEN = 8
# For this long, data that a process sent before it died may still arrive at a target.
ARRIVES = dt.timedelta(seconds=5)
LONGEST = dt.timedelta(seconds=CALL_SECONDS + 5)
WAIT_FOR_SESSIONS = dt.timedelta(milliseconds=250)
# A live gateway renews its lease each second, and cuts all connections long before this limit. A gateway that
# has not renewed its lease for longer is gone, frozen or disconnected, and revocation does not wait for it.
PATIENCE = dt.timedelta(seconds=1)
UNSEEN = dt.timedelta(seconds=1.5)
LONGEST_BACKOFF = 60.0
# Administrators are notified at the fourth failure, after about ten seconds, so that a short outage causes no
# notification.
NOTIFY_AFTER = 3
# How many grants can be revoked at the same time: in one cluster, at one host, and in one cluster at
# unreliable hosts (those that failed, or have been silent for two seconds and have not answered since). So
# hanging targets occupy only a few workers, and don't delay other targets. Only one grant at a time calls an
# unreliable host. Retries are counted separately, and may use half of the slots.
PLACES = 8
PLACES_AT_HOST = 3
PLACES_IN_DOUBT = 2


_CLAIMED = Rows(Grant, "cluster", "holder", "command_set_version", tail="WHERE sessions_app_grant.id = %s")
_LEASES = Rows(
    Lease,
    "target",
    tail="""
WHERE sessions_app_lease.grant_id = %s AND sessions_app_lease.gone_at IS NULL ORDER BY sessions_app_lease.id
""",
)
# The grant of a claim, with the related rows that `notify_of_end` reads.
_OWN = Rows(
    Grant,
    "holder__owner",
    "cluster",
    "command_set_version__command_set",
    "ended_by",
    tail="""
WHERE sessions_app_grant.id = %s AND sessions_app_grant.attempts = %s FOR NO KEY UPDATE OF sessions_app_grant
""",
)


@traced("stint.revoke", life_of_grant)
@prepared()
def deprovision_grant(*, grant_id: int, now: Callable[[], dt.datetime]) -> Grant:
    """Move a REVOKING grant to ENDED: wait until its sessions are reported closed, then query each used
    target.

    Revocation does not wait for a gateway that has not reported the sessions after a second or has not been
    seen for 1.5 seconds, nor for a process that is still creating something for the grant. In that case, the
    targets remove what exists now, but the grant is ENDED only after all targets have confirmed again later.

    Only one process does this at a time; a process whose claim was taken over changes nothing. If a target
    does not respond, the grant stays REVOKING with the error, while access on the other targets is revoked.
    The target is retried after 1 s, 2 s, 4 s … up to a minute, forever. ``now`` is called repeatedly, because
    calls to targets take time.
    """
    began = now()
    grant = _claim(grant_id, began)
    if grant is None:
        return Grant.objects.get(pk=grant_id)
    leases = None
    try:
        leases = _LEASES(grant.pk)
        in_use = is_in_use(grant)
        # The grant is ending, so no further process starts to create objects for it.
        making = any(lease.making_until for lease in leases) and _made_until(grant, now())
        if not in_use and not making:
            return _finish(grant, _revoke(leases, grant, now), now())
        if not in_use or _is_late(grant, now()):
            # These answers are not final: a hung gateway can't terminate commands, and an object that a
            # process is creating may appear after the answer. So the targets are queried again later.
            _revoke(leases, grant, now)
        return _wait(grant, now())
    finally:
        if leases is None or leases:
            ask(_NO_LONGER_ASKED, grant.pk, began)


def _claim(grant_id: int, now: dt.datetime) -> Grant | None:
    """Claim the grant for a limited time if its targets can be called now.

    Otherwise, return None; the sweep tries again.

    ``attempts`` numbers the claims, so that a stale claim can be recognized. No lock is held during the
    claim, so a stopped or killed process blocks others only until its claim expires.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT claim_revocation(%s, %s, make_interval(secs => %s), make_interval(secs => %s), %s,"
            " %s, %s)",
            [
                grant_id,
                now,
                CLAIM.total_seconds(),
                LONGEST.total_seconds(),
                PLACES,
                PLACES_AT_HOST,
                PLACES_IN_DOUBT,
            ],
        )
        (taken,) = cursor.fetchone()
    if not taken:
        return None
    (grant,) = _CLAIMED(grant_id)
    if grant.attempts > OFTEN:
        _renew(grant, now, now + CLAIM_SILENT)
    return grant


def _made_until(grant: Grant, now: dt.datetime) -> dt.datetime | None:
    """Return the time until which a process may be creating something for the grant; None if no process is.

    The time includes a delay in which data from a dead process may still arrive.
    """
    making = grant.leases.filter(gone_at__isnull=True, making_until__gt=now)
    until: dt.datetime | None = making.aggregate(until=Max("making_until"))["until"]
    if until is not None and until > now + ARRIVES and not is_shown(*maker_of(grant.pk)):
        until = now + ARRIVES
        making.filter(making_until__gt=until).update(making_until=until)
    return until


def _wait(grant: Grant, now: dt.datetime) -> Grant:
    """Schedule the next attempt for the time when waiting may no longer be necessary.

    A session or process that blocks the revocation and finishes sooner reschedules the attempt, under the
    same lock.
    """
    with transaction.atomic():
        if _own(grant).select_for_update(no_key=True).exists():
            again, why = _waits_for(grant, now)
            _own(grant).update(next_attempt_at=again, last_error=why)
    grant.refresh_from_db()
    return grant


def _waits_for(grant: Grant, now: dt.datetime) -> tuple[dt.datetime, str]:
    """Return when to try again, and the reason to wait until then."""
    if is_in_use(grant):
        again = now + WAIT_FOR_SESSIONS
        if grant.finish_until is not None and grant.finish_until > now:
            again = min(grant.finish_until, now + dt.timedelta(seconds=1))
        return again, "Waiting for the gateway to report that its sessions are closed."
    until = _made_until(grant, now)
    # The process that is creating the access may be killed in the meantime.
    again = min(until, now + ARRIVES) if until else now
    return again, "Waiting for a process that is still creating access on the targets." if until else ""


def _is_late(grant: Grant, now: dt.datetime) -> bool:
    """Whether the sessions should be closed by now, or can't be closed, and no command may still finish."""
    if grant.revoking_at is None or (grant.finish_until is not None and grant.finish_until > now):
        return False
    if now - grant.revoking_at >= PATIENCE:
        return True
    unseen = Q(gateway__seen_at__lte=now - UNSEEN) | Q(gateway__stopped_at__isnull=False)
    return Session.objects.filter(unseen, grant=grant, closed_at__isnull=True).exists()


def _own(grant: Grant) -> GrantQuerySet:
    """Return the grant if this claim is still valid."""
    return Grant.objects.filter(pk=grant.pk, state=GrantState.REVOKING, attempts=grant.attempts)


def _revoke(
    leases: list[Lease], grant: Grant, now: Callable[[], dt.datetime]
) -> list[tuple[Lease, Evidence | ConnectorError]]:
    """Call all targets in parallel, so that a hanging target doesn't delay the others."""
    if not leases:
        return []
    try:
        connector = connector_for(grant.cluster.kind)
    except ConnectorError as error:
        return [(lease, error) for lease in leases]
    results: list[tuple[Lease, Evidence | ConnectorError]] = []
    with ThreadPoolExecutor(max_workers=min(8, len(leases))) as pool:
        neighbors, ran, left = neighbors_of(grant, leases), how_commands_ran(grant), unfinished_uploads(grant)
        asked = {
            pool.submit(
                _ask,
                connector,
                grant,
                lease,
                others=neighbors[lease.address, lease.port],
                unfinished=left.get(lease.target_id, ()),
                **ran,
            ): lease
            for lease in leases
        }
        for answer in _as_answered(asked, grant, now):
            result = answer.result()
            results.append((asked[answer], result))
            # A target that has answered must not count as hanging, even if the other targets take long.
            ask(_FAILED if isinstance(result, ConnectorError) else _ANSWERED, now(), asked[answer].pk)
    return sorted(results, key=lambda result: result[0].pk)


_ANSWERED, _FAILED = (
    f"UPDATE sessions_app_lease SET asked_at = NULL, {column} = %s WHERE id = %s RETURNING id"  # noqa: S608  # fixed
    for column in ("answered_at", "failed_at")
)
_NO_LONGER_ASKED = (
    "UPDATE sessions_app_lease SET asked_at = NULL WHERE grant_id = %s AND asked_at = %s RETURNING id"
)


def _as_answered(asked: Iterable[Answer], grant: Grant, now: Callable[[], dt.datetime]) -> Iterator[Answer]:
    """Yield each answer as it arrives, and renew the claim on the grant in between.

    No database connection is held during a long wait, because many targets may hang.
    """
    began = renewed = now()
    waiting, every, lasts = set(asked), RENEWED, CLAIM
    while waiting:
        answers, waiting = wait(waiting, timeout=every.total_seconds(), return_when=FIRST_COMPLETED)
        yield from answers
        if waiting and (at := now()) - renewed >= every:
            if at - began >= SILENT:
                every, lasts = RENEWED_SILENT, CLAIM_SILENT
            _renew(grant, at, min(at + lasts, began + LONGEST))
            renewed = at
            if every == RENEWED_SILENT and not connection.in_atomic_block:
                connection.close()


def _renew(grant: Grant, now: dt.datetime, until: dt.datetime) -> None:
    """Renew the claim, unless it has expired or was reset by a change."""
    _own(grant).filter(next_attempt_at__gt=now).update(next_attempt_at=until)


def _ask(connector: Connector, grant: Grant, lease: Lease, **known: Any) -> Evidence | ConnectorError:
    try:
        return connector.revoke(lease_of(lease, grant, **known))
    except ConnectorError as error:
        return error
    except Exception as error:  # a failure of one target must not hide the others' answers
        log.exception("revoke.failed", grant=grant.ref, target=lease.target.name)
        return ConnectorError(f"The target could not be reached: {type(error).__name__}: {error}")


def _finish(grant: Grant, results: list[tuple[Lease, Evidence | ConnectorError]], now: dt.datetime) -> Grant:
    with transaction.atomic():
        locked = _OWN.first(grant.pk, grant.attempts)
        if locked is None or locked.state != GrantState.REVOKING:
            raise StaleGrant(f"Another process has taken over {grant.ref}.", hint="Nothing to do.")
        # All sessions are closed, so no command is running.
        for run in cut_unfinished(of=locked, reason="the grant ended", now=now):
            record_finished(run=run, now=now)
        errors = [error for lease, result in results if (error := _note(locked, lease, result, now))]
        if errors:
            return _again(locked, errors, max(lease.attempts for lease, _ in results), now)
        took = (now - locked.revoking_at).total_seconds() if locked.revoking_at else 0.0
        ended = transition(
            grant=locked,
            to=GrantState.ENDED,
            actor=DEPROVISIONER,
            now=now,
            ended_at=now,
            last_error="",
            next_attempt_at=None,
            data={
                "reason": locked.end_reason,
                "seconds": round(took, 3),
                "targets_asked": [lease.target.name for lease, _ in results],
            },
        )
        if locked.cluster.kind == "mcp":
            ReturnedValue.objects.filter(grant=locked).delete()
        notify_of_end(grant=ended, now=now)
        transaction.on_commit(lambda: ENDS.labels(cause_of(ended).value).observe(seconds_to_prove(ended)))
        return ended


def _note(grant: Grant, lease: Lease, result: Evidence | ConnectorError, now: dt.datetime) -> str:
    """Store a target's answer, and return its error; empty if there is none."""
    if isinstance(result, Evidence) and result.gone:
        evidence = _storable(result)
        Lease.objects.filter(pk=lease.pk).update(
            gone_at=now, evidence=evidence, last_error="", attempts=F("attempts") + 1
        )
        record_end(
            event=Event.LEASE_GONE,
            actor=DEPROVISIONER,
            object_type="grant",
            object_ref=grant.ref,
            now=now,
            data={"target": lease.target.name, "evidence": evidence},
        )
        return ""
    error = recordable(result.message if isinstance(result, ConnectorError) else result.left)
    Lease.objects.filter(pk=lease.pk).update(last_error=error, attempts=F("attempts") + 1)
    if error != lease.last_error:
        record_end(
            event=Event.LEASE_FAILING,
            actor=DEPROVISIONER,
            object_type="grant",
            object_ref=grant.ref,
            now=now,
            data={"target": lease.target.name, "error": error},
        )
    return f"{lease.target.name}: {error}"


def _storable(evidence: Evidence) -> dict[str, Json]:
    """Return evidence with all text made safe to store, because a compromised target may send anything."""
    return {recordable(key): recorded(value) for key, value in evidence.detail.items()}


def _again(grant: Grant, errors: list[str], failed_before: int, now: dt.datetime) -> Grant:
    text = "; ".join(errors)
    # Half of the delay is fixed, because full jitter would delay the first retries too much.
    pause = min(LONGEST_BACKOFF, 2.0 ** min(failed_before, 10)) * (0.5 + random.random() / 2)  # noqa: S311  # spreads retries
    if text != grant.last_error:
        record_end(
            event=Event.GRANT_REVOKE_FAILING,
            actor=DEPROVISIONER,
            object_type="grant",
            object_ref=grant.ref,
            now=now,
            data={"errors": errors, "attempts": grant.attempts},
        )
        log.warning("revoke.failing", grant=grant.ref, errors=errors)
    if failed_before == NOTIFY_AFTER:
        notify(
            people=Identity.objects.active().filter(is_superuser=True),
            event=Event.GRANT_REVOKE_FAILING,
            now=now,
            asks=Asks.LIVE,
            of=grant,
            path=f"/grants/{grant.ref}/",
            subject=f"Revocation of {grant.ref} is not confirmed on {grant.cluster}",
            body=f"{text}\nNothing new can run. Stint retries until every target confirms.",
        )
    Grant.objects.filter(pk=grant.pk).update(
        last_error=text, next_attempt_at=now + dt.timedelta(seconds=pause)
    )
    grant.refresh_from_db()
    return grant
