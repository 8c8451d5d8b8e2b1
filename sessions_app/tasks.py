"""The worker's tasks. A task only signals that a row may be due; the row determines what is done."""

from __future__ import annotations

import threading
import time
from functools import partial
from typing import Any

import structlog
from celery import shared_task
from django.conf import settings
from django.db import connection

from accounts.operations.purge_sign_ins import purge_sign_ins
from broker.audit.actor import Actor
from broker.audit.again import verify_onwards
from broker.audit.attempts import append_attempts
from broker.audit.checkpoint import checkpoint_is_due, make_checkpoint
from broker.audit.whole import verify_part, whole_is_due
from broker.kernel import clock
from broker.kernel.bulkhead import Bulkhead
from broker.kernel.errors import StintError
from broker.kernel.keyed_threads import KeyedThreads
from sessions_app.connectors.base import ConnectorError
from sessions_app.operations.grants.deprovision_grant import deprovision_grant
from sessions_app.operations.grants.prepare_grant import prepare_grant
from sessions_app.operations.grants.provision_grant import provision_grant
from sessions_app.operations.grants.purge_grants import purge_grants
from sessions_app.operations.notifications.deliver_webhooks import deliver_webhooks, due_endpoints
from sessions_app.operations.notifications.escalate import escalate
from sessions_app.operations.notifications.gather_webhooks import endpoints_behind, gather_webhooks
from sessions_app.operations.notifications.purge_notices import purge_notices
from sessions_app.operations.notifications.purge_webhooks import purge_webhooks
from sessions_app.operations.notifications.send_notices import mail_is_due, send_notices
from sessions_app.operations.notifications.warn_holders import warn_holders
from sessions_app.operations.record.reconcile_recordings import reconcile_recordings
from sessions_app.operations.record.store_archive import archive_is_due, store_archive
from sessions_app.operations.sessions.end_watch import end_lost_watches
from sessions_app.operations.sessions.purge_recordings import purge_recordings
from sessions_app.operations.sessions.read_statements import leases_to_read, read_statements
from sessions_app.operations.sessions.reconcile_objects import reconcile_objects
from sessions_app.operations.sessions.store_recordings import store_recordings
from sessions_app.operations.sweep.count_ends import count_ends
from sessions_app.operations.sweep.count_settled_days import count_settled_days
from sessions_app.operations.sweep.sweep import end_baseless, sweep
from sessions_app.operations.targets.carry_out_check import carry_out_check, lost_checks
from sessions_app.operations.targets.reconcile_all import reconcile_all
from sessions_app.operations.workflows.handle_delivery import handle_lost_deliveries
from sessions_app.operations.workflows.poll_source import poll_source, reread_workflow, sources_to_ask
from sessions_app.queries.grants.current import to_revoke_now
from sessions_app.queries.grants.revocation import clusters_of_leases, clusters_to_make, clusters_to_revoke
from sessions_app.queries.record.recording_content import object_store
from sessions_app.storage.base import StoreError
from sessions_app.storage.registry import store_at

# In seconds. A tick sweeps again if something is due before the next tick.
TICK, SHORTEST_SLEEP = 0.9, 0.05
# After each part, the verification of the whole record pauses this many times longer than the part took.
REST = 9
VERIFIER = Actor.system("verify")
# The queue's threads are for time-critical tasks that wait only for the database. Tasks that wait for other
# systems, or that may read for a long time, run in their own threads: tasks for targets (which may never
# answer), workflow sources, the record and its disk, webhook receivers, and the mail server.
_askers = KeyedThreads(16)
_lookers = KeyedThreads(1)
_checkers = KeyedThreads(4)
_keepers = KeyedThreads(3)
_couriers = KeyedThreads(16)
_postmen = KeyedThreads(1)
_clerks = KeyedThreads(4)
# Set while the record has entries that are not covered by a checkpoint.
_unsigned = threading.Event()
# A safety net for the other ways to end grants, so one thread is enough.
_net = threading.Lock()
# Two ticks can run at the same time, because one may be delayed.
_ticking = threading.BoundedSemaphore(2)

log = structlog.get_logger(__name__)


@shared_task(name="grants.provision", acks_late=True)
def provision(*, grant_id: int, **_: Any) -> None:
    """Start a grant that is due."""
    provision_grant(grant_id=grant_id, now=clock.now())


@shared_task(name="grants.prepare", acks_late=True)
def prepare(*, grant_id: int, **_: Any) -> None:
    """Create the access for a grant on its targets.

    This runs in its own threads, so that a hanging target doesn't block other tasks.
    """
    _makers.take([grant_id])


def _make(grant_id: int) -> None:
    prepare_grant(grant_id=grant_id, now=clock.now)


@shared_task(name="grants.deprovision", acks_late=True)
def deprovision(*, grant_id: int, **_: Any) -> None:
    """Revoke an ending grant on its targets, also in its own threads."""
    _revokers.take([grant_id])


def _revoke(grant_id: int) -> None:
    # Without a checkpoint, restoring an earlier backup would undo the end without anyone noticing.
    _sign_soon()
    deprovision_grant(grant_id=grant_id, now=clock.now)
    _sign_soon()


_makers = Bulkhead(_make, group_of=clusters_to_make)
_revokers = Bulkhead(_revoke, group_of=lambda ids: clusters_to_revoke(ids, clock.now()))


@shared_task(name="workflows.read", acks_late=True)
def read_one_workflow(*, workflow_id: int, **_: Any) -> None:
    """Read a workflow from its source, and start the grants that waited for the result."""
    _askers.start(("workflow", workflow_id), partial(reread_workflow, workflow_id=workflow_id, now=clock.now))


@shared_task(name="workflows.read_all", acks_late=True)
def read_all_workflows(**_: Any) -> None:
    """Read the workflows that grants depend on from every source.

    Each source is read separately, so that a hanging source does not delay the others.
    """
    for source_id in sources_to_ask():
        _askers.start(source_id, partial(poll_source, source_id=source_id, now=clock.now))


@shared_task(name="deliveries.handle_lost", acks_late=True)
def handle_lost(**_: Any) -> None:
    """Handle webhook deliveries whose process died."""
    handle_lost_deliveries(now=clock.now())


@shared_task(name="sweep.tick", acks_late=True)
def tick(**_: Any) -> None:
    """End, start and expire what is due before the next tick, and revoke ended grants on targets."""
    if not _ticking.acquire(blocking=False):
        return
    try:
        until = time.monotonic() + TICK
        while (left := _sweep()) < until - time.monotonic():
            time.sleep(left)
    finally:
        _ticking.release()


def _sweep() -> float:
    """Sweep once, and return the seconds until something is next due."""
    report = sweep(now=clock.now, name="worker")
    # Called directly instead of through the queue. Grants that are already being revoked are skipped.
    if report.revocations:
        _revokers.take(to_revoke_now(clock.now()))
    due = report.next_due
    return TICK if due is None else max(SHORTEST_SLEEP, (due - clock.now()).total_seconds())


@shared_task(name="notices.send", acks_late=True)
def send(**_: Any) -> None:
    """Mail the notifications that are due, unless a run is in progress.

    Queue messages don't refer to single notifications, so they can't pile up.
    """
    if mail_is_due(now=clock.now()):
        _postmen.start("mail", partial(send_notices, now=clock.now))


@shared_task(name="notices.warn", acks_late=True)
def warn(**_: Any) -> None:
    """Notify holders whose access ends soon."""
    _clerks.start("warn", lambda: warn_holders(now=clock.now()))


@shared_task(name="record.verify", acks_late=True)
def verify_record(**_: Any) -> None:
    """Verify new entries of the record, and the whole record once a day, so that pages can show when it was
    last intact.
    """
    _keepers.start("verify", _verify)
    _keepers.start("verify the whole", _verify_whole)


def _verify() -> None:
    verify_onwards(connection=connection, actor=VERIFIER, now=clock.now(), most=None)


def _verify_whole() -> None:
    """Read the whole record if that is due, pausing after each part for much longer than the part took."""
    while whole_is_due(now=clock.now()):
        began = time.monotonic()
        if verify_part(connection=connection, actor=VERIFIER, now=clock.now()) is not None:
            return
        time.sleep(REST * (time.monotonic() - began))


@shared_task(name="record.checkpoint", acks_late=True)
def checkpoint(**_: Any) -> None:
    """Sign the current state of the record, if the record has grown and the last checkpoint is almost a
    minute old.
    """
    if checkpoint_is_due(now=clock.now()):
        _sign_soon()


def _sign_soon() -> None:
    _unsigned.set()
    _keepers.start("checkpoint", _sign)


def _sign() -> None:
    """Make checkpoints, at most one per second, until no further checkpoint is requested."""
    while _unsigned.is_set():
        _unsigned.clear()
        try:
            make_checkpoint(now=clock.now())
        except (StintError, OSError) as error:
            # Pages and health probes report the error, and the next run tries again.
            log.warning("checkpoint.failed", error=str(error))
        finally:
            # Also after a failure, because otherwise the failure would be logged for every end.
            time.sleep(1)


@shared_task(name="record.attempts", acks_late=True)
def attempts(**_: Any) -> None:
    """Record the attempts of the last minute that were counted instead of recorded individually."""
    append_attempts(clock.now())


@shared_task(name="sweep.baseless", acks_late=True)
def baseless(**_: Any) -> None:
    """End grants whose holder, cluster or policy is gone.

    Uses one thread at a time, because the other ways to end grants need the other threads.
    """
    if not _net.acquire(blocking=False):
        return
    try:
        end_baseless(now=clock.now())
    finally:
        _net.release()


@shared_task(name="clusters.reconcile_all", acks_late=True)
def reconcile(**_: Any) -> None:
    """Compare the targets of every cluster with their expected state, unless the last round is still
    running.
    """
    _lookers.start("round", partial(reconcile_all, now=clock.now))


@shared_task(name="ends.count", acks_late=True)
def count_todays_ends(**_: Any) -> None:
    """Count how long today's ends took to be confirmed."""
    _clerks.start("ends", lambda: count_ends(now=clock.now()))


@shared_task(name="days.count", acks_late=True)
def count_days(**_: Any) -> None:
    """Count what happened on the days that became settled."""
    _clerks.start("days", lambda: count_settled_days(now=clock.now()))


@shared_task(name="watches.end_lost", acks_late=True)
def end_views_of_lost_processes(**_: Any) -> None:
    """End the live views whose process was lost."""
    _clerks.start("watches", lambda: end_lost_watches(now=clock.now()))


@shared_task(name="statements.read_all", acks_late=True)
def read_all_statements(**_: Any) -> None:
    """Read the statements that holders ran on databases back from the servers."""
    _readers.take(leases_to_read(now=clock.now()))


def _read(lease_id: int) -> None:
    try:
        read_statements(lease_id=lease_id, now=clock.now)
    except ConnectorError as error:
        log.info("statements.unread", lease=lease_id, error=error.message)


_readers = Bulkhead(_read, group_of=clusters_of_leases)


@shared_task(name="targets.check", acks_late=True)
def check(*, check_id: int, **_: Any) -> None:
    """Carry out a requested check of a target."""
    _checkers.start(check_id, partial(carry_out_check, check_id=check_id, now=clock.now))


@shared_task(name="targets.check_lost", acks_late=True)
def check_lost(**_: Any) -> None:
    """Carry out checks whose queue message was lost."""
    for check_id in lost_checks(now=clock.now()):
        check(check_id=check_id)


@shared_task(name="webhooks.send", acks_late=True)
def send_webhooks(**_: Any) -> None:
    """Queue events for outgoing webhooks, and send what is due. Each receiver is served separately."""
    if endpoints_behind() or due_endpoints(now=clock.now()):
        _clerks.start("webhooks", _send_webhooks)


def _send_webhooks() -> None:
    gather_webhooks(now=clock.now())
    for endpoint_id in due_endpoints(now=clock.now()):
        _couriers.start(endpoint_id, partial(deliver_webhooks, endpoint_id=endpoint_id, now=clock.now))


@shared_task(name="webhooks.purge", acks_late=True)
def purge_old_webhooks(**_: Any) -> None:
    """Delete old webhook messages."""
    _clerks.start("purge webhooks", lambda: purge_webhooks(now=clock.now()))


@shared_task(name="grants.purge", acks_late=True)
def purge_old_grants(**_: Any) -> None:
    """Delete grants, requests and notifications whose retention time is over."""
    _clerks.start("purge grants", lambda: purge_grants(now=clock.now()))
    _clerks.start("purge notices", lambda: purge_notices(now=clock.now()))


@shared_task(name="sessions.purge", acks_late=True)
def purge_signed_out(**_: Any) -> None:
    """Delete the data of ended sessions."""
    _clerks.start("purge sign-ins", lambda: purge_sign_ins(now=clock.now()))


@shared_task(name="recordings.purge", acks_late=True)
def purge(**_: Any) -> None:
    """Delete expired recordings, and report when disk space runs low."""
    _clerks.start("purge", lambda: purge_recordings(folder=settings.RECORDINGS_DIR, now=clock.now()))


@shared_task(name="recordings.reconcile", acks_late=True)
def reconcile_files(**_: Any) -> None:
    """Compare the recording files with their runs."""
    _clerks.start("files", lambda: reconcile_recordings(folder=settings.RECORDINGS_DIR, now=clock.now()))


@shared_task(name="recordings.store", acks_late=True)
def store(**_: Any) -> None:
    """Store the recordings that gateways left on this machine, if an object store is configured."""
    if settings.RECORDINGS_STORE:
        _clerks.start("store", _store)


def _store() -> None:
    try:
        store_recordings(folder=settings.RECORDINGS_DIR, store=object_store(), now=clock.now)
    except StoreError as error:
        log.warning("recordings.wait", error=error.strerror)


@shared_task(name="record.archive", acks_late=True)
def archive(**_: Any) -> None:
    """Copy new record entries to the record's store once a day, if one is configured."""
    if settings.RECORD_STORE and archive_is_due(now=clock.now()):
        _clerks.start("archive", _archive)


def _archive() -> None:
    try:
        store_archive(into=store_at(settings.RECORD_STORE), now=clock.now())
    except StoreError as error:
        log.warning("record.not_archived", error=error.strerror)


@shared_task(name="recordings.reconcile_objects", acks_late=True)
def reconcile_stored(**_: Any) -> None:
    """Compare the object store, if one is configured, with the recordings in it."""
    if settings.RECORDINGS_STORE:
        _clerks.start("objects", lambda: reconcile_objects(store=object_store(), now=clock.now()))


@shared_task(name="answers.escalate", acks_late=True)
def escalate_due(**_: Any) -> None:
    """Notify the people in the next escalation step of each item that is still undecided."""
    _clerks.start("escalate", lambda: escalate(now=clock.now()))
