"""Request access."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace

from django.db import IntegrityError, transaction

from accounts.actors import actor_of
from accounts.models import Identity
from broker.audit.actor import Actor
from broker.audit.events import Event
from broker.audit.record import record
from broker.kernel import text
from broker.kernel.errors import StintError
from broker.kernel.postgresql.prepared import prepared
from broker.kernel.postgresql.writes import insert
from broker.kernel.trace_ids import Life
from broker.kernel.tracing import begins
from sessions_app.models import AccessRequest, RequestKind, RequestState, Workflow
from sessions_app.models.request import next_number
from sessions_app.operations.grants.make_grant import as_words, make_grant, workflow_fact
from sessions_app.operations.notifications.await_answer import await_answer
from sessions_app.operations.notifications.notify import notified_first
from sessions_app.operations.notifications.notify_approvers import notify_approvers
from sessions_app.operations.notifications.notify_of_start import notify_of_start
from sessions_app.operations.requests.check_request import (
    NewRequest,
    check_request,
    for_its_workflow,
)
from sessions_app.operations.requests.limit_requests import limit_requests
from sessions_app.operations.workflows.read_named_workflow import read_named_workflow
from sessions_app.operations.workflows.read_workflow import UnknownWorkflow
from sessions_app.policy.decision import Decision, Outcome
from sessions_app.policy.scope import Extent
from sessions_app.queries.grants.lives import life_of_request
from sessions_app.queries.requests.deciders import deciders_of
from sessions_app.queries.requests.preview import Preview
from sessions_app.queries.requests.to_decide import facts_to_decide, subject_of

MAX_TEXT = text.MAX_TEXT
LONGEST_ONCE = 64


class RequestRefused(StintError):
    """A policy does not allow the request. ``rules`` has the result of each rule, and what to change. Through
    a gateway, the status is 403 for a command that the grant does not allow, and 429 if too many commands
    wait for approval.
    """

    code = "request_refused"
    status = 422

    def __init__(self, decision: Decision) -> None:
        first = decision.refusals[0]
        super().__init__(
            first.message,
            hint=first.fix,
            fields=decision.faults,
            moments=decision.moments,
        )
        self.decision = decision


def request_access(*, requester: Identity, ask: NewRequest, now: dt.datetime) -> AccessRequest:
    """Request one command set on one cluster. If no approval is needed, the grant is created immediately.

    When a form is submitted again, the request from the first submission is returned. Raises NotRequestable,
    InvalidInput, RequestRefused, TooManyOpenRequests.
    """
    if ask.kind == RequestKind.EXTENSION:
        raise RequestRefusedKind(
            "Extensions are requested on the grant.", hint="Open the grant and extend it there."
        )
    if ask.kind == RequestKind.DELEGATION:
        raise RequestRefusedKind(
            "Only the holder of a grant can delegate it.",
            hint="Open the grant and delegate a part of it there.",
        )
    ask = for_its_workflow(requester, ask)
    try:
        return _sent_before(requester, ask) or _ask(requester, read_its_workflow(requester, ask, now), now)
    except IntegrityError:
        # Both submissions arrived at the same time.
        if sent := _sent_before(requester, ask):
            return sent
        raise


def _sent_before(requester: Identity, ask: NewRequest) -> AccessRequest | None:
    if not ask.once:
        return None
    return AccessRequest.objects.filter(requester=requester, once=ask.once[:LONGEST_ONCE]).first()


def _life_of(request: AccessRequest) -> Life:
    return life_of_request(request_id=request.pk)


@begins("stint.request", _life_of)
@prepared()
def _ask(requester: Identity, ask: NewRequest, now: dt.datetime) -> AccessRequest:
    with transaction.atomic():
        _hold_workflow(ask)
        ask = replace(ask, reason=text.without_keys(ask.reason), ticket=text.without_keys(ask.ticket))
        preview = check_request(requester=requester, ask=ask, now=now)
        if preview.decision.outcome is Outcome.REFUSED:
            raise RequestRefused(preview.decision)
        if preview.decision.outcome is not Outcome.STARTS:
            limit_requests(requester=requester, urgent=preview.draft.is_urgent, now=now)
        actor = actor_of(requester)
        request = _save(actor, ask, preview, now)
        if preview.decision.outcome is Outcome.STARTS:
            _start(request, actor, preview, now)
        else:
            _notify_approvers(request, preview, now)
    return request


class RequestRefusedKind(StintError):
    """Requests of this kind can't be submitted directly. Use the corresponding action of the grant."""

    code = "invalid"
    status = 400


def read_its_workflow(requester: Identity, ask: NewRequest, now: dt.datetime) -> NewRequest:
    """Read the named workflow from its source, and return the request with the workflow's reference.

    The rules deny a workflow that the source does not know. Raises SourceUnreadable.
    """
    if not ask.workflow:
        return ask
    try:
        return replace(ask, workflow=read_named_workflow(reader=requester, ref=ask.workflow, now=now).ref)
    except UnknownWorkflow:
        return ask


def _hold_workflow(ask: NewRequest) -> None:
    """Lock the workflow, so that it can't close between the check and the creation of the grant.

    Closing a workflow ends only grants that exist by then.
    """
    if ask.workflow:
        list(Workflow.objects.select_for_update(no_key=True).filter(ref=ask.workflow).order_by("pk"))


def _save(actor: Actor, ask: NewRequest, preview: Preview, now: dt.datetime) -> AccessRequest:
    request = preview.draft
    request.number, request.once, request.created_at = next_number(), ask.once[:LONGEST_ONCE], now
    insert(request)
    record(
        event=Event.REQUEST_CREATED,
        actor=actor,
        object_type="request",
        object_ref=request.ref,
        now=now,
        data={
            "kind": request.kind,
            "cluster": preview.cluster.name,
            "command_set": str(preview.version),
            "targets": [target.name for target in preview.targets],
            "parameters": as_words(preview.parameters),
            "starts_at": ask.starts_at.isoformat() if ask.starts_at else None,
            "duration": ask.duration,
            "policy": f"{preview.policy.name} v{preview.case.version}",
            "digest": preview.digest,
            "reason": request.reason,
            "ticket": request.ticket,
            **workflow_fact(request),
            **_doing_fact(preview),
        },
    )
    return request


def _doing_fact(preview: Preview) -> dict[str, str]:
    """Return, for the record, whether the workflow was the requester's own, because the decision depended
    on this.
    """
    if preview.workflow is None:
        return {}
    said = preview.case.doing.said(preview.workflow.ref, preview.draft.requester.username)
    return {"workflow_of": preview.case.doing.whose, "workflow_doing": said}


def _start(request: AccessRequest, actor: Actor, preview: Preview, now: dt.datetime) -> None:
    AccessRequest.objects.filter(pk=request.pk).update(state=RequestState.APPROVED, decided_at=now)
    request.state, request.decided_at = RequestState.APPROVED, now
    record(
        event=Event.REQUEST_APPROVED,
        actor=actor,
        object_type="request",
        object_ref=request.ref,
        now=now,
        data={"by": "policy", "policy": preview.policy.name},
    )
    extent = Extent(
        request.duration,
        frozenset(command.index for command in preview.compiled.commands),
        frozenset(request.targets),
    )
    grant = make_grant(
        request=request,
        extent=extent,
        document=preview.document,
        review_within=preview.case.review_within,
        actor=actor,
        now=now,
    )
    if grant.review_due_at is not None:
        own = {"incident": preview.workflow.ref} if preview.workflow and grant.is_own_incident else {}
        record(
            event=Event.BREAKGLASS_STARTED,
            actor=actor,
            object_type="grant",
            object_ref=grant.ref,
            now=now,
            data={"request": request.ref, "reason": request.reason, **own},
        )
    if request.kind in (RequestKind.BREAK_GLASS, RequestKind.INCIDENT):
        notify_of_start(request=request, document=preview.document, grant=grant, now=now)


def _notify_approvers(request: AccessRequest, preview: Preview, now: dt.datetime) -> None:
    notify_approvers(
        people=notified_first(deciders_of(request), preview.document),
        event=Event.REQUEST_CREATED,
        subject=subject_of(request, preview.targets),
        body=facts_to_decide(
            request,
            now,
            targets=preview.targets,
            compiled=preview.compiled,
            window=(preview.starts_at, preview.ends_at),
        ),
        path=f"/approvals/{request.ref}/",
        of=request,
        now=now,
    )
    await_answer(of=request, document=preview.document, now=now)
