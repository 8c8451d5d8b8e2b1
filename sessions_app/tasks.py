"""What the worker does. Each task is a hint that a row is due; what is done is decided by the row."""

from __future__ import annotations

import threading
from functools import partial
from typing import Any

import structlog
from celery import current_app, shared_task
from django.db import connection

from accounts.operations.forget_sessions import forget_sessions
from broker.audit.actor import Actor
from broker.audit.checkpoint import make_checkpoint
from broker.audit.note import note_verification
from broker.audit.verify import verify
from broker.kernel import clock
from broker.kernel.bulkhead import Bulkhead
from broker.kernel.crew import Crew
from sessions_app.connectors.base import ConnectorError
from sessions_app.operations.carry_out_check import carry_out_check, lost_checks
from sessions_app.operations.deliver_webhooks import deliver_webhooks, due_endpoints
from sessions_app.operations.deprovision_grant import deprovision_grant
from sessions_app.operations.escalate import escalate
from sessions_app.operations.forget_webhooks import forget_webhooks
from sessions_app.operations.gather_webhooks import gather_webhooks
from sessions_app.operations.handle_delivery import handle_lost_deliveries
from sessions_app.operations.poll_source import poll_source, reread_workflow, sources_to_ask
from sessions_app.operations.prepare_grant import prepare_grant
from sessions_app.operations.provision_grant import provision_grant
from sessions_app.operations.read_statements import leases_to_read, read_statements
from sessions_app.operations.reconcile_cluster import reconcile_all
from sessions_app.operations.send_notice import send_notice
from sessions_app.operations.sweep import end_baseless, sweep
from sessions_app.operations.warn_holders import warn_holders
from sessions_app.queries.undoing import clusters_of

# Seconds. The next tick hands out again what is still due, so that hints nobody took may not pile up.
HINT_LASTS = 5
STATEMENTS_LAST = 8
# Receivers are slow as they please, so they are waited for in threads of their own: ends need the worker's.
_couriers = Crew(16)
# Sources of work as well.
_askers = Crew(16)
# And targets, of which some never answer.
_lookers = Crew(1)
# The net below the ends: one thread is enough.
_net = threading.Lock()

log = structlog.get_logger(__name__)


@shared_task(name="grants.provision", acks_late=True)
def provision(*, grant_id: int, **_: Any) -> None:
    """Start a grant that is due."""
    provision_grant(grant_id=grant_id, now=clock.now())


@shared_task(name="grants.prepare", acks_late=True)
def prepare(*, grant_id: int, **_: Any) -> None:
    """Make what a grant needs on its targets."""
    prepare_grant(grant_id=grant_id, now=clock.now)


@shared_task(name="grants.deprovision", acks_late=True)
def deprovision(*, grant_id: int, **_: Any) -> None:
    """Undo a grant that is ending, in threads that no target that hangs can take from others."""
    _undoers.take([grant_id])


def _undo(grant_id: int) -> None:
    deprovision_grant(grant_id=grant_id, now=clock.now)


_undoers = Bulkhead(_undo, group_of=clusters_of)


@shared_task(name="workflows.read", acks_late=True)
def read_work(*, workflow_id: int, **_: Any) -> None:
    """Ask the source of a piece of work how it stands, and start what waited for that."""
    _askers.start(("work", workflow_id), partial(reread_workflow, workflow_id=workflow_id, now=clock.now))


@shared_task(name="workflows.read_all", acks_late=True)
def read_all_work(**_: Any) -> None:
    """Ask every source about the work that grants rest on, each on its own, so that one that hangs delays no other."""
    for source_id in sources_to_ask():
        _askers.start(source_id, partial(poll_source, source_id=source_id, now=clock.now))


@shared_task(name="deliveries.handle_lost", acks_late=True)
def handle_lost(**_: Any) -> None:
    """Do what deliveries say whose process died."""
    handle_lost_deliveries(now=clock.now())


@shared_task(name="notices.send", acks_late=True)
def send(*, notice_id: int, **_: Any) -> None:
    """Mail a notice."""
    send_notice(notice_id=notice_id, now=clock.now())


@shared_task(name="sweep.tick", acks_late=True)
def tick(**_: Any) -> None:
    """End, start and lapse what is due, and hand out what has to be undone and mailed."""
    report = sweep(now=clock.now, name="worker")
    for grant_id in report.to_undo:
        current_app.send_task("grants.deprovision", kwargs={"grant_id": grant_id}, expires=HINT_LASTS)
    for notice_id in report.to_mail:
        current_app.send_task("notices.send", kwargs={"notice_id": notice_id}, expires=HINT_LASTS)


@shared_task(name="notices.warn", acks_late=True)
def warn(**_: Any) -> None:
    """Tell holders whose access ends soon."""
    warn_holders(now=clock.now())


@shared_task(name="record.verify", acks_late=True)
def verify_record(**_: Any) -> None:
    """Read the whole record again, so that pages say when it was last intact."""
    verdict = verify(connection=connection)
    note_verification(verdict=verdict, actor=Actor.system("verify"), now=clock.now())


@shared_task(name="record.checkpoint", acks_late=True)
def checkpoint(**_: Any) -> None:
    """Sign the record as it stands, if anything came since the last time."""
    make_checkpoint(now=clock.now())


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
    """Hand out every database on which holders may run something."""
    for lease_id in leases_to_read(now=clock.now()):
        current_app.send_task("statements.read", kwargs={"lease_id": lease_id}, expires=STATEMENTS_LAST)


@shared_task(name="statements.read", acks_late=True)
def read(*, lease_id: int, **_: Any) -> None:
    """Read back what a holder ran on a database."""
    try:
        read_statements(lease_id=lease_id, now=clock.now)
    except ConnectorError as error:
        log.info("statements.unread", lease=lease_id, error=error.message)


@shared_task(name="targets.check", acks_late=True)
def check(*, check_id: int, **_: Any) -> None:
    """Look at a target because somebody asked."""
    carry_out_check(check_id=check_id, now=clock.now)


@shared_task(name="targets.check_lost", acks_late=True)
def check_lost(**_: Any) -> None:
    """Look at targets whose message was lost."""
    for check_id in lost_checks(now=clock.now()):
        carry_out_check(check_id=check_id, now=clock.now)


@shared_task(name="webhooks.send", acks_late=True)
def send_webhooks(**_: Any) -> None:
    """Queue what has happened for outgoing webhooks, and send what is due, to each receiver on its own."""
    gather_webhooks(now=clock.now())
    for endpoint_id in due_endpoints(now=clock.now()):
        _couriers.start(endpoint_id, partial(deliver_webhooks, endpoint_id=endpoint_id, now=clock.now))


@shared_task(name="webhooks.forget", acks_late=True)
def forget(**_: Any) -> None:
    """Throw away old messages of webhooks."""
    forget_webhooks(now=clock.now())


@shared_task(name="sessions.forget", acks_late=True)
def forget_signed_out(**_: Any) -> None:
    """Throw away sign-ins that are over."""
    forget_sessions(now=clock.now())


@shared_task(name="answers.escalate", acks_late=True)
def escalate_due(**_: Any) -> None:
    """Tell the next ones of what nobody has answered."""
    escalate(now=clock.now())
