"""Start a grant that is due, after checking again whether it can start."""

from __future__ import annotations

import datetime as dt

from django.db import transaction

from broker.audit.actor import Actor
from broker.audit.events import Event
from broker.audit.standing import stands
from broker.kernel.enqueue import enqueue
from broker.kernel.postgresql.prepared import prepared
from broker.kernel.postgresql.rows import Rows
from broker.kernel.tracing import traced
from sessions_app.connectors.registry import type_of
from sessions_app.models import EndReason, Grant, GrantState, WorkflowState
from sessions_app.operations.grants.delegate_grant import why_not_delegated
from sessions_app.operations.grants.end_grant import end_grant
from sessions_app.operations.grants.errors import GrantIsOver
from sessions_app.operations.grants.heartbeat import heartbeat_due
from sessions_app.operations.grants.transition import StaleGrant, transition
from sessions_app.operations.grants.write_lease import write_lease
from sessions_app.operations.notifications.notify import notify
from sessions_app.policy.evaluate import refusal
from sessions_app.policy.rules import SWEEPER_SILENCE
from sessions_app.policy.steps import Step
from sessions_app.queries.catalog.freeze import freeze_catalog
from sessions_app.queries.grants.lives import life_of_grant
from sessions_app.queries.requests import facts
from sessions_app.queries.requests.case import case_of_grant
from sessions_app.queries.workflows.workflows import is_fresh, staleness_of

PROVISIONER = Actor.system("provision")
# A queue message that no worker has taken is sent again after this long.
ASK_AGAIN = dt.timedelta(seconds=5)
AT_ONCE = dt.timedelta(minutes=1)


_FREE = Rows(
    Grant,
    "cluster",
    "request",
    "workflow",
    tail="WHERE sessions_app_grant.id = %s FOR NO KEY UPDATE OF sessions_app_grant SKIP LOCKED",
)


@traced("stint.start", life_of_grant)
@prepared()
def provision_grant(*, grant_id: int, now: dt.datetime) -> Grant:
    """Move a due grant to ACTIVE, or end it if it is no longer allowed to start. Safe to call repeatedly.

    Verdicts are counted and the policy is evaluated again, and the scope must still have the approved digest.
    """
    with transaction.atomic():
        grant = _FREE.first(grant_id)
        if grant is None or grant.state not in (GrantState.SCHEDULED, GrantState.PROVISIONING):
            return grant or Grant.objects.get(pk=grant_id)
        if grant.starts_at > now or grant.expires_at <= now or not _could_be_ended(now):
            return grant
        if not freeze_catalog():
            return grant
        if not stands():
            Grant.objects.filter(pk=grant.pk).update(next_attempt_at=now + ASK_AGAIN)
            return grant
        if _must_be_read(grant, now):
            return grant
        if reason := why_not_start(grant, now):
            closed = grant.workflow and grant.workflow.state == WorkflowState.CLOSED
            why = EndReason.WORKFLOW_CLOSED if closed else EndReason.POLICY_CHANGED
            return end_grant(grant_id=grant.pk, actor=None, reason=why, now=now, note=reason)
        return _begin(grant, now)


def _begin(grant: Grant, now: dt.datetime) -> Grant:
    try:
        if grant.state == GrantState.SCHEDULED:
            transition(grant=grant, to=GrantState.PROVISIONING, actor=PROVISIONER, now=now)
        if type_of(grant.cluster.kind).prepares:
            write_leases(grant, now)
            Grant.objects.filter(pk=grant.pk).update(next_attempt_at=now + ASK_AGAIN)
            enqueue("grants.prepare", grant_id=grant.pk)
        else:
            # Over SSH, nothing is created on a target before the first use: the target trusts the certificate
            # authority, and each command uses its own certificate. So the grant can be used as soon as its
            # start is allowed.
            activate(grant, now)
    except StaleGrant:
        grant.refresh_from_db()
    except GrantIsOver as moved:
        why, note = EndReason.POLICY_CHANGED, moved.message
        return end_grant(grant_id=grant.pk, actor=None, reason=why, now=now, note=note)
    return grant


def _must_be_read(grant: Grant, now: dt.datetime) -> bool:
    """Whether the start must wait until the workflow has been read from its source, because the last read is
    too old.

    The source is not called here, because that would delay other grants. The policy rejects a workflow
    whose last read is too old.
    """
    workflow = grant.workflow
    if workflow is None or workflow.state == WorkflowState.CLOSED or is_fresh(workflow, now):
        return False
    silence = (now - (workflow.read_at or workflow.opened_at)).total_seconds()
    if silence > staleness_of(grant):
        return False
    Grant.objects.filter(pk=grant.pk).update(
        next_attempt_at=now + ASK_AGAIN,
        last_error=workflow.read_error and f"{workflow.ref}: {workflow.read_error}",
    )
    enqueue("workflows.read", workflow_id=workflow.pk)
    return True


def write_leases(grant: Grant, now: dt.datetime) -> None:
    """Store the leases for access that is about to be created, before any target is called.

    Raises GrantIsOver.
    """
    for target in grant.targets.select_related("cluster"):
        write_lease(
            grant_id=grant.pk,
            grant_ref=grant.ref,
            target=facts.target_facts(target),
            host_ca=target.cluster.host_ca,
            login=facts.login_of(target.cluster),
            actor=PROVISIONER,
            now=now,
            ahead=True,
        )


def activate(grant: Grant, now: dt.datetime) -> None:
    """Make a grant usable, and notify its holder. Raises StaleGrant."""
    transition(
        grant=grant,
        to=GrantState.ACTIVE,
        actor=PROVISIONER,
        now=now,
        activated_at=now,
        next_attempt_at=None,
        last_error="",
        heartbeat_due_at=heartbeat_due(grant, now),
    )
    _notify_of_start(grant, now)


def _notify_of_start(grant: Grant, now: dt.datetime) -> None:
    """Notify the holder, unless a recent notification of the approval has already announced the start."""
    decided = grant.request.decided_at
    if decided is None or now - decided < AT_ONCE:
        return
    notify(
        people=[grant.holder],
        event=Event.GRANT_ACTIVE,
        now=now,
        path=f"/grants/{grant.ref}/",
        subject=f"{grant.ref} has started: {grant.command_set_version.command_set} on {grant.cluster}",
        body=lambda say: (
            f"The grant ends automatically {say.moment(grant.expires_at)}. Its page explains how to use it."
        ),
    )


def _could_be_ended(now: dt.datetime) -> bool:
    """Whether a process that can end access is running.

    If none is, the grant waits until a sweep has reported that it is running.
    """
    silence = facts.sweeper_silence(now)
    return silence is not None and silence <= SWEEPER_SILENCE


def why_not_start(grant: Grant, now: dt.datetime) -> str:
    """Return a sentence about why a grant may not start, or, if active, may not continue; empty if it may.

    Raises Unreadable.
    """
    if grant.parent_id is not None:
        return why_not_delegated(grant, now)
    step = Step.GO_ON if grant.state == GrantState.ACTIVE else Step.START
    refused = refusal(case_of_grant(grant, now), step)
    return refused.message if refused else ""
