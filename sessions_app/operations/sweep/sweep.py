"""End, start and expire what is due, in batches. Celery beat and every gateway run this each second."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import partial

import structlog
from django.db import DatabaseError, connection, transaction
from django.db.models import Q

from broker.audit.actor import Actor
from broker.audit.backlog import catch_up
from broker.audit.events import Event
from broker.audit.record import record
from broker.audit.standing import stands
from broker.kernel.each_free import BATCH, each_free, for_a_while
from broker.kernel.errors import StintError
from broker.kernel.postgresql.rows import ask
from broker.kernel.statement import is_connected
from sessions_app.connectors.registry import types
from sessions_app.models import (
    AccessRequest,
    Asks,
    CommandRun,
    EndReason,
    Grant,
    GrantState,
    RequestState,
    RunState,
    Sweeper,
    Workflow,
    WorkflowState,
)
from sessions_app.operations.grants.end_grant import end_grant
from sessions_app.operations.grants.provision_grant import provision_grant
from sessions_app.operations.grants.settle_end import settle_ends
from sessions_app.operations.notifications.notify import notify
from sessions_app.operations.sessions.purge_files import purge_files
from sessions_app.operations.sessions.stop_gateway import LOST_AFTER, stop_lost_gateways
from sessions_app.operations.sweep.escalate_reviews import escalate_reviews
from sessions_app.operations.workflows.close_workflow import close_workflow
from sessions_app.operations.workflows.lapse_request import lapse_request
from sessions_app.policy.durations import say_duration
from sessions_app.queries.grants.current import next_due
from sessions_app.queries.status.due import baseless_now, due_now
from sessions_app.queries.workflows.workflows import staleness_of, why_over

log = structlog.get_logger(__name__)

SWEEPER = Actor.system("sweep")
# A row that can't be read is postponed by this time, so that it blocks no other rows.
PUT_OFF = dt.timedelta(seconds=30)
# No policy allows a shorter limit on the time since a workflow was last read.
SHORTEST_STALENESS = dt.timedelta(minutes=1)
_OF_REQUEST = (
    "requester__owner",
    "policy",
    "cluster",
    "command_set_version__command_set",
    "extends",
    "workflow__source",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepReport:
    """The result of a sweep. With ``revocations``, some grants may need revocation (`to_revoke_now`).
    ``next_due`` is the time of the next due task; None if nothing is pending.
    """

    ended: int = 0
    started: int = 0
    lapsed: int = 0
    revocations: bool = False
    failed: dict[str, str] = field(default_factory=dict)
    next_due: dt.datetime | None = None

    @property
    def idle(self) -> bool:
        """Whether there was nothing to do."""
        return not (self.ended or self.started or self.lapsed or self.revocations or self.failed)


def sweep(*, now: Callable[[], dt.datetime], name: str, limit: int = BATCH) -> SweepReport:
    """End, start and expire what is due, and return whether there are grants to revoke on targets.

    Never calls a target. ``now`` is called again for each batch, so that a long sweep does not use an
    outdated time. Any number of processes can sweep at the same time: rows that another process has locked
    are skipped.
    """
    found = due_now(now(), name)
    due = found.steps
    failed: dict[str, str] = {}
    # Ends come first, so that no failure of another step prevents them.
    ended = 0
    if "ends" in due:
        ended = _end_due(now, limit) + _guarded("intended", partial(settle_ends, failed), now(), failed)
    with _impatient() if {"standing", "seen", "silent"} & due else nullcontext():
        if "standing" in due:
            # Until this is stored in the database, grants can't be used or started.
            _guarded("standing", lambda _: stands(), now(), failed)
        if "seen" in due:
            _guarded("seen", partial(_say_seen, name), now(), failed)
        if "silent" in due:
            ended += _guarded("silent", partial(_end_silent, failed), now(), failed)
    started = lapsed = 0
    with _impatient() if due - {"standing", "seen", "ends", "silent", "revocations"} else nullcontext():
        started = _start_due(now, failed) if "starts" in due else 0
        steps = {"lapses": _lapse_requests, "holds": _lapse_holds, "reviews": escalate_reviews}
        for what, lapse in steps.items():
            if what in due:
                lapsed += _guarded(what, lapse, now(), failed)
        if "files" in due:
            _guarded("files", lambda at: purge_files(now=at), now(), failed)
        if "record" in due:
            _guarded("record", catch_up, now(), failed)
    return SweepReport(
        ended=ended,
        started=started,
        lapsed=lapsed,
        revocations=bool({"revocations", "ends", "silent"} & due),
        failed=failed,
        next_due=next_due() if due - {"seen"} else found.next,
    )


@contextmanager
def _impatient() -> Iterator[None]:
    """Wait at most a second for each lock, because the process that holds it may be stopped."""
    with connection.cursor() as cursor:
        cursor.execute("SET lock_timeout = '1s'")
    try:
        yield
    finally:
        with connection.cursor() as cursor:
            cursor.execute("SET lock_timeout TO DEFAULT")


def _guarded(what: str, step: Callable[[dt.datetime], int], now: dt.datetime, failed: dict[str, str]) -> int:
    """Run one housekeeping step. Only a lost database connection stops the steps that follow."""
    try:
        return step(now)
    except (StintError, DatabaseError, ValueError) as error:
        if not is_connected():
            raise
        failed[what] = f"{type(error).__name__}: {error}"
        log.exception("sweep.step_failed", step=what)
        return 0


def end_baseless(*, now: dt.datetime) -> int:
    """End grants whose basis is gone.

    Run this every few seconds, as a safety net for operations that end such grants immediately. Reasons are
    disabled holders; removed clusters, policies and command sets; and workflows that are closed, over, or
    unread for too long. Requests expire with their workflow, and sessions of lost gateways are closed. Rows
    that are locked or fail are left for the next run.
    """
    due = baseless_now(now, silent=now - LOST_AFTER, unread=now - SHORTEST_STALENESS, kinds=types())
    if not due:
        return 0
    failed: dict[str, str] = {}
    steps: dict[str, Callable[[dict[str, str], dt.datetime], int]] = {
        "gateways": _stop_lost,
        "groundless": _end_groundless,
        "workflows": _close_past,
        "over": _end_over,
        "requests": _lapse_over,
    }
    ended = 0
    with _impatient():
        for name, step in steps.items():
            # Closed workflows come first, because their grants and requests lose their basis.
            if name in due or (name in ("over", "requests") and "workflows" in due):
                count = _guarded(name, partial(step, failed), now, failed)
                ended += count if name in ("groundless", "over") else 0
    return ended


def _stop_lost(failed: dict[str, str], now: dt.datetime) -> int:
    return stop_lost_gateways(now=now, failed=failed)


def _end_groundless(failed: dict[str, str], now: dt.datetime) -> int:
    live = Grant.objects.before_end().order_by("pk")
    disabled = Q(holder__is_active=False) | Q(holder__owner__is_active=False)
    removed = Q(cluster__removed_at__isnull=False)
    # The package for the cluster's kind was removed. Nothing new may start on such clusters, and
    # existing access must be reported.
    unserved = ~Q(cluster__kind__in=list(types()))
    changed = Q(policy__removed_at__isnull=False) | Q(
        command_set_version__command_set__removed_at__isnull=False
    )
    ended = 0
    for condition, reason in (
        (disabled, EndReason.IDENTITY_DISABLED),
        (removed | unserved, EndReason.CLUSTER_REMOVED),
        (changed, EndReason.POLICY_CHANGED),
    ):
        ended += each_free(live.filter(condition), partial(_end, reason=reason, now=now), failed=failed)
    return ended


def _end(grant_id: int, *, reason: EndReason, now: dt.datetime, note: str = "") -> None:
    end_grant(grant_id=grant_id, actor=None, reason=reason, now=now, note=note)


def _close_past(failed: dict[str, str], now: dt.datetime) -> int:
    """Close changes whose planned time is over."""
    past = Workflow.objects.open().filter(source__isnull=True, ends_at__lte=now).order_by("ends_at")
    return each_free(past, partial(_close, now=now), failed=failed)


def _close(workflow_id: int, *, now: dt.datetime) -> None:
    close_workflow(workflow_id=workflow_id, actor=None, now=now, note="Its planned time has passed.")


def _lapse_over(failed: dict[str, str], now: dt.datetime) -> int:
    """Expire requests whose workflow is over."""
    over = (
        Q(workflow__state=WorkflowState.CLOSED)
        | Q(workflow__source__removed_at__isnull=False)
        | Q(workflow__ends_at__lte=now)
    )
    due = AccessRequest.objects.filter(over, state=RequestState.PENDING).order_by("pk")
    return each_free(due, partial(_lapse, now=now), failed=failed)


def _lapse(request_id: int, *, now: dt.datetime) -> None:
    _lapse_if_over(AccessRequest.objects.select_related(*_OF_REQUEST).get(pk=request_id), now)


def _lapse_if_over(request: AccessRequest, now: dt.datetime) -> bool:
    """Expire a request if its workflow is over, and return whether it is."""
    why = why_over(request.workflow, now) if request.workflow else ""
    if request.workflow is not None and why:
        lapse_request(request=request, workflow=request.workflow, why=why, by=SWEEPER, now=now)
    return bool(why)


def _end_over(failed: dict[str, str], now: dt.datetime) -> int:
    """End grants whose workflow is closed or counts as closed."""
    live = Grant.objects.before_end()
    bound = live.filter(workflow__isnull=False).select_related("workflow__source", "policy")
    closed = Q(workflow__state=WorkflowState.CLOSED) | Q(workflow__source__removed_at__isnull=False)
    unread = Q(workflow__source__isnull=False, workflow__read_at__lt=now - SHORTEST_STALENESS)
    # Check all workflows, so that those with a longer limit don't hide those with a shorter one.
    found = {grant.pk: _why_over(grant, now) for grant in bound.filter(closed | unread)}
    ended = 0
    for why in sorted({why for why in found.values() if why}):
        grants = live.filter(pk__in=[pk for pk in found if found[pk] == why]).order_by("pk")
        end = partial(_end, reason=EndReason.WORKFLOW_CLOSED, now=now, note=why)
        ended += each_free(grants, end, failed=failed)
    return ended


def _why_over(grant: Grant, now: dt.datetime) -> str:
    workflow = grant.workflow
    if workflow is None:
        return ""
    if workflow.state == WorkflowState.CLOSED:
        return f"{workflow.ref} is closed."
    if workflow.source is None:
        return ""
    if workflow.source.removed_at is not None:
        return f"The source {workflow.source.name} was removed."
    silence = int((now - (workflow.read_at or workflow.opened_at)).total_seconds())
    if silence <= staleness_of(grant):
        return ""
    return f"{workflow.ref} could not be read for {say_duration(silence)}, so it counts as closed."


def _say_seen(name: str, now: dt.datetime) -> int:
    """Record that this sweeper is running.

    If the row is locked, another process with the same name is updating it.
    """
    free = Sweeper.objects.select_for_update(skip_locked=True, no_key=True).filter(name=name)
    with transaction.atomic():
        if not Sweeper.objects.filter(pk__in=free.values("pk")).update(seen_at=now):
            Sweeper.objects.get_or_create(name=name, defaults={"seen_at": now})
    return 0


def _end_due(now: Callable[[], dt.datetime], limit: int) -> int:
    total: int = 0
    while True:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SELECT cardinality(sweep_due_grants(%s, %s))", [now(), limit])
            (count,) = cursor.fetchone()
        total += int(count)
        if count < limit:
            return total


def _end_silent(failed: dict[str, str], now: dt.datetime) -> int:
    """End grants whose holder missed three heartbeats, unless a heartbeat has arrived in the meantime."""
    silent = Grant.objects.filter(state=GrantState.ACTIVE, heartbeat_due_at__lte=now)
    ending = partial(_end, reason=EndReason.SILENT, now=now)
    return each_free(silent.order_by("heartbeat_due_at"), ending, failed=failed)


_TO_START = """
SELECT id, ref FROM sessions_app_grant g WHERE state IN ('scheduled', 'provisioning') AND starts_at <= %s
   AND (next_attempt_at IS NULL OR next_attempt_at <= %s)
   AND NOT EXISTS (SELECT FROM sessions_app_endintent e WHERE e.grant_id = g.id) ORDER BY starts_at LIMIT %s
"""


def _start_due(now: Callable[[], dt.datetime], failed: dict[str, str]) -> int:
    due = ask(_TO_START, now(), now(), BATCH)
    started = 0
    for pk, ref in for_a_while(due):
        try:
            provision_grant(grant_id=pk, now=now())
            started += 1
        except (StintError, DatabaseError, ValueError) as error:
            _put_off(pk, ref, error, now(), failed)
    return started


def _put_off(pk: int, ref: str, error: Exception, now: dt.datetime, failed: dict[str, str]) -> None:
    failed[ref] = f"{type(error).__name__}: {error}"
    log.error("sweep.row_failed", grant=ref, error=failed[ref])
    free = Grant.objects.select_for_update(skip_locked=True, no_key=True).filter(pk=pk)
    with transaction.atomic():
        Grant.objects.filter(pk__in=free.values("pk")).update(
            next_attempt_at=now + PUT_OFF, last_error=failed[ref]
        )


def _lapse_requests(now: dt.datetime) -> int:
    with transaction.atomic():
        due = list(
            AccessRequest.objects.select_for_update(skip_locked=True, no_key=True, of=("self",))
            .filter(state=RequestState.PENDING, lapses_at__lte=now)
            .select_related(*_OF_REQUEST)
            .order_by("lapses_at")[:BATCH]
        )
        undecided = [request for request in due if not _lapse_if_over(request, now)]
        AccessRequest.objects.filter(pk__in=[request.pk for request in undecided]).update(
            state=RequestState.LAPSED, decided_at=now
        )
        for request in undecided:
            record(
                event=Event.REQUEST_LAPSED,
                actor=SWEEPER,
                object_type="request",
                object_ref=request.ref,
                now=now,
                data={"lapsed_at": request.lapses_at.isoformat()},
            )
            notify(
                people=[request.requester],
                event=Event.REQUEST_LAPSED,
                now=now,
                path=f"/requests/{request.ref}/",
                asks=Asks.AGAIN,
                of=request,
                subject=f"{request.ref} expired: no one decided in time",
                body=(
                    f"{request.command_set_version.command_set} on {request.cluster}\nYou can submit a new"
                    " request."
                ),
            )
    return len(due)


def _lapse_holds(now: dt.datetime) -> int:
    # A held command also expires if it was allowed but not started in time.
    with transaction.atomic():
        due = list(
            CommandRun.objects.select_for_update(skip_locked=True, no_key=True, of=("self",))
            .filter(state=RunState.HELD, hold_lapses_at__lte=now)
            .select_related("grant", "target")
            .order_by("hold_lapses_at")[:BATCH]
        )
        CommandRun.objects.filter(pk__in=[run.pk for run in due]).update(
            state=RunState.HOLD_LAPSED, ended_at=now, reason="not approved in time"
        )
        for run in due:
            record(
                event=Event.COMMAND_HOLD_DECIDED,
                actor=SWEEPER,
                object_type="grant",
                object_ref=run.grant.ref,
                now=now,
                data={
                    "run": run.pk,
                    "allowed": False,
                    "argv": run.argv,
                    "target": run.target.name,
                    "lapsed": True,
                },
            )
    return len(due)
