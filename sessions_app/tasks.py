"""What the worker does. Each task is a hint that a row is due; what is done is decided by the row."""

from __future__ import annotations

import threading
import time
from functools import partial
from typing import Any

import structlog
from celery import shared_task
from django.conf import settings
from django.db import connection

from accounts.operations.purge_sessions import purge_sessions
from broker.audit.actor import Actor
from broker.audit.attempts import append_attempts
from broker.audit.checkpoint import make_checkpoint
from broker.audit.note import note_verification
from broker.audit.verify import verify
from broker.kernel import clock
from broker.kernel.bulkhead import Bulkhead
from broker.kernel.crew import Crew
from sessions_app.connectors.base import ConnectorError
from sessions_app.operations.grants.deprovision_grant import deprovision_grant
from sessions_app.operations.grants.prepare_grant import prepare_grant
from sessions_app.operations.grants.provision_grant import provision_grant
from sessions_app.operations.notifications.deliver_webhooks import deliver_webhooks, due_endpoints
from sessions_app.operations.notifications.escalate import escalate
from sessions_app.operations.notifications.gather_webhooks import endpoints_behind, gather_webhooks
from sessions_app.operations.notifications.purge_webhooks import purge_webhooks
from sessions_app.operations.notifications.send_notices import mail_is_due, send_notices
from sessions_app.operations.notifications.warn_holders import warn_holders
from sessions_app.operations.reconcile_recordings import reconcile_recordings
from sessions_app.operations.sessions.purge_recordings import purge_recordings
from sessions_app.operations.sessions.read_statements import leases_to_read, read_statements
from sessions_app.operations.sweep.sweep import end_baseless, sweep
from sessions_app.operations.targets.carry_out_check import carry_out_check, lost_checks
from sessions_app.operations.targets.reconcile_cluster import reconcile_all
from sessions_app.operations.workflows.handle_delivery import handle_lost_deliveries
from sessions_app.operations.workflows.poll_source import poll_source, reread_workflow, sources_to_ask
from sessions_app.queries.grants import next_due
from sessions_app.queries.revoking import clusters_of, clusters_of_leases, clusters_to_make

# Seconds. A tick looks again when something falls due before the next one comes.
TICK, SHORTEST_SLEEP = 0.9, 0.05
# The threads that messages have are for what is bound to time and waits for nobody but the database. Whatever waits for
# others, or may read for long, does so in threads of its own: targets of which some never answer, sources of work, the
# record and the disk that it is kept on, receivers of webhooks, the mail server.
_askers = Crew(16)
_lookers = Crew(1)
_checkers = Crew(4)
_keepers = Crew(2)
_couriers = Crew(16)
_postmen = Crew(1)
_clerks = Crew(4)
# The net below the ends: one thread is enough.
_net = threading.Lock()
# Of two ticks one may be held up.
_ticking = threading.BoundedSemaphore(2)

log = structlog.get_logger(__name__)


@shared_task(name="grants.provision", acks_late=True)
def provision(*, grant_id: int, **_: Any) -> None:
    """Start a grant that is due."""
    provision_grant(grant_id=grant_id, now=clock.now())


@shared_task(name="grants.prepare", acks_late=True)
def prepare(*, grant_id: int, **_: Any) -> None:
    """Make what a grant needs on its targets, in threads that no target that hangs can take from others."""
    _makers.take([grant_id])


def _make(grant_id: int) -> None:
    prepare_grant(grant_id=grant_id, now=clock.now)


@shared_task(name="grants.deprovision", acks_late=True)
def deprovision(*, grant_id: int, **_: Any) -> None:
    """Undo a grant that is ending, in threads of the same kind."""
    _revokers.take([grant_id])


def _revoke(grant_id: int) -> None:
    deprovision_grant(grant_id=grant_id, now=clock.now)


_makers = Bulkhead(_make, group_of=clusters_to_make)
_revokers = Bulkhead(_revoke, group_of=clusters_of)


@shared_task(name="workflows.read", acks_late=True)
def read_one_workflow(*, workflow_id: int, **_: Any) -> None:
    """Ask the source of a workflow how it stands, and start what waited for that."""
    _askers.start(("workflow", workflow_id), partial(reread_workflow, workflow_id=workflow_id, now=clock.now))


@shared_task(name="workflows.read_all", acks_late=True)
def read_all_workflows(**_: Any) -> None:
    """Ask every source about the work that grants rest on, each on its own, so that one that hangs delays no other."""
    for source_id in sources_to_ask():
        _askers.start(source_id, partial(poll_source, source_id=source_id, now=clock.now))


@shared_task(name="deliveries.handle_lost", acks_late=True)
def handle_lost(**_: Any) -> None:
    """Do what deliveries say whose process died."""
    handle_lost_deliveries(now=clock.now())


@shared_task(name="sweep.tick", acks_late=True)
def tick(**_: Any) -> None:
    """End, start and lapse what is due until the next tick comes, and revoke on targets what has ended."""
    if not _ticking.acquire(blocking=False):
        return
    try:
        until = time.monotonic() + TICK
        while (left := _sweep()) < until - time.monotonic():
            time.sleep(left)
    finally:
        _ticking.release()


def _sweep() -> float:
    """Sweep once, and return in how many seconds the next thing falls due."""
    report = sweep(now=clock.now, name="worker")
    # By no message: what is being undone already is not taken again.
    _revokers.take(report.to_revoke)
    due = next_due()
    return TICK if due is None else max(SHORTEST_SLEEP, (due - clock.now()).total_seconds())


@shared_task(name="notices.send", acks_late=True)
def send(**_: Any) -> None:
    """Mail what is due, unless that is going on already. No message is about a single notice, so that none can pile up."""
    if mail_is_due(now=clock.now()):
        _postmen.start("mail", partial(send_notices, now=clock.now))


@shared_task(name="notices.warn", acks_late=True)
def warn(**_: Any) -> None:
    """Tell holders whose access ends soon."""
    _clerks.start("warn", lambda: warn_holders(now=clock.now()))


@shared_task(name="record.verify", acks_late=True)
def verify_record(**_: Any) -> None:
    """Read the whole record again, so that pages say when it was last intact."""
    _keepers.start("verify", _verify)


def _verify() -> None:
    verdict = verify(connection=connection)
    note_verification(verdict=verdict, actor=Actor.system("verify"), now=clock.now())


@shared_task(name="record.checkpoint", acks_late=True)
def checkpoint(**_: Any) -> None:
    """Sign the record as it stands, if anything came since the last time."""
    _keepers.start("checkpoint", lambda: make_checkpoint(now=clock.now()))


@shared_task(name="record.attempts", acks_late=True)
def attempts(**_: Any) -> None:
    """Append what was tried in the minute before, where it was tried often."""
    append_attempts(clock.now())


@shared_task(name="sweep.baseless", acks_late=True)
def baseless(**_: Any) -> None:
    """End grants whose holder, cluster or policy is gone; one thread at a time, because ends need the others."""
    if not _net.acquire(blocking=False):
        return
    try:
        end_baseless(now=clock.now())
    finally:
        _net.release()


@shared_task(name="clusters.reconcile_all", acks_late=True)
def reconcile(**_: Any) -> None:
    """Compare what is on the targets of every cluster with what should be, where the last round is over."""
    _lookers.start("round", partial(reconcile_all, now=clock.now))


@shared_task(name="statements.read_all", acks_late=True)
def read_all_statements(**_: Any) -> None:
    """Read back what holders ran on databases."""
    _readers.take(leases_to_read(now=clock.now()))


def _read(lease_id: int) -> None:
    try:
        read_statements(lease_id=lease_id, now=clock.now)
    except ConnectorError as error:
        log.info("statements.unread", lease=lease_id, error=error.message)


_readers = Bulkhead(_read, group_of=clusters_of_leases)


@shared_task(name="targets.check", acks_late=True)
def check(*, check_id: int, **_: Any) -> None:
    """Look at a target because somebody asked."""
    _checkers.start(check_id, partial(carry_out_check, check_id=check_id, now=clock.now))


@shared_task(name="targets.check_lost", acks_late=True)
def check_lost(**_: Any) -> None:
    """Look at targets whose message was lost."""
    for check_id in lost_checks(now=clock.now()):
        check(check_id=check_id)


@shared_task(name="webhooks.send", acks_late=True)
def send_webhooks(**_: Any) -> None:
    """Queue what has happened for outgoing webhooks, and send what is due, to each receiver on its own."""
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


@shared_task(name="sessions.purge", acks_late=True)
def purge_signed_out(**_: Any) -> None:
    """Delete expired browser sessions."""
    _clerks.start("purge sessions", lambda: purge_sessions(now=clock.now()))


@shared_task(name="recordings.purge", acks_late=True)
def purge(**_: Any) -> None:
    """Delete recordings whose time is over, and say when little room is left."""
    _clerks.start("purge", lambda: purge_recordings(folder=settings.RECORDINGS_DIR, now=clock.now()))


@shared_task(name="recordings.reconcile", acks_late=True)
def reconcile_files(**_: Any) -> None:
    """Compare the files of recordings with the runs that they are of."""
    _clerks.start("files", lambda: reconcile_recordings(folder=settings.RECORDINGS_DIR, now=clock.now()))


@shared_task(name="answers.escalate", acks_late=True)
def escalate_due(**_: Any) -> None:
    """Tell the next ones of what nobody has answered."""
    _clerks.start("escalate", lambda: escalate(now=clock.now()))
