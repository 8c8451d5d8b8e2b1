"""Request more time on a grant."""

from __future__ import annotations

import datetime as dt

from django.db import transaction
from django.db.models import QuerySet

from accounts.actors import actor_of
from accounts.models import Identity
from broker.audit.events import Event
from broker.audit.record import record
from broker.kernel.errors import Forbidden, InvalidInput, NotFound
from broker.kernel.text import checked_text
from sessions_app.models import AccessRequest, Grant, GrantState, RequestKind, RequestState
from sessions_app.models.request import next_number
from sessions_app.operations.grants.apply_extension import apply_extension
from sessions_app.operations.grants.errors import GrantIsOver
from sessions_app.operations.notifications.await_answer import await_answer
from sessions_app.operations.notifications.notify import notified_first
from sessions_app.operations.notifications.notify_approvers import notify_approvers
from sessions_app.operations.requests.limit_requests import limit_requests
from sessions_app.operations.workflows.read_workflow import SourceUnreadable, UnknownWorkflow, read_workflow
from sessions_app.policy.case import Case
from sessions_app.policy.evaluate import refusal
from sessions_app.policy.policies import PolicyDocument
from sessions_app.policy.steps import STEPS, Step
from sessions_app.queries.requests import facts
from sessions_app.queries.requests.case import case_of_grant
from sessions_app.queries.requests.deciders import deciders_of
from sessions_app.queries.requests.to_decide import facts_to_decide, subject_of


class MayNotExtend(Forbidden):
    """The policy does not allow the extension. The message states the limit."""

    code = "may_not_extend"


def extend_grant(
    *, grant_id: int, requester: Identity, seconds: int, reason: str = "", now: dt.datetime
) -> AccessRequest:
    """Request a later end for one of the requester's active grants.

    If the policy needs no approval, extend the grant immediately.

    Sessions continue during the request. Raises NotFound (not the requester's grant), GrantIsOver,
    MayNotExtend, InvalidInput, TooManyOpenRequests.
    """
    reason = checked_text(reason, field="reason")
    read_workflow_of(Grant.objects.filter(holder=requester, pk=grant_id), now)
    with transaction.atomic():
        grant = (
            Grant.objects.filter(holder=requester, pk=grant_id)
            .select_for_update(no_key=True, of=("self",))
            .select_related(
                "policy",
                "cluster",
                "request",
                "command_set_version__command_set",
                "holder__owner",
                "workflow",
            )
            .first()
        )
        if grant is None:
            raise NotFound("Grant not found.")
        if grant.state != GrantState.ACTIVE or grant.expires_at <= now:
            raise GrantIsOver(f"{grant.ref} has ended, so it can't be extended.", hint="Request new access.")
        if seconds <= 0:
            raise InvalidInput("Enter a duration.", fields={"seconds": ["Must be greater than zero."]})
        document = check_extension(grant=grant, seconds=seconds, now=now).policy
        starts = not document.extension_clauses
        if not starts:
            limit_requests(requester=requester, urgent=grant.request.is_urgent, now=now)
        request = _save(grant, requester, seconds, reason, document, now)
        if starts:
            request.state, request.decided_at = RequestState.APPROVED, now
            request.save(update_fields=["state", "decided_at"])
            record(
                event=Event.REQUEST_APPROVED,
                actor=actor_of(requester),
                object_type="request",
                object_ref=request.ref,
                now=now,
                data={"by": "policy", "policy": grant.policy.name},
            )
            apply_extension(request=request, seconds=seconds, actor=actor_of(requester), now=now)
        else:
            _notify(request, document, now)
    return request


def read_workflow_of(grants: QuerySet[Grant], now: dt.datetime) -> None:
    """Read the workflows of grants that are about to be extended from their sources.

    Later checks end grants whose basis is gone.

    Raises MayNotExtend if the source does not report a workflow's status.
    """
    outside = grants.filter(state=GrantState.ACTIVE, workflow__source__isnull=False)
    for ref in outside.values_list("workflow__ref", flat=True):
        try:
            read_workflow(ref=ref, now=now)
        except (SourceUnreadable, UnknownWorkflow) as error:
            raise MayNotExtend(error.message, hint="Try again when the workflow source responds.") from error


def check_extension(
    *, grant: Grant, seconds: int, now: dt.datetime, deciding: AccessRequest | None = None
) -> Case:
    """Return the case of an extension that is currently allowed.

    ``deciding`` is the extension request that is about to be approved.

    Raises MayNotExtend.
    """
    case = case_of_grant(grant, now, extension=seconds, deciding=deciding)
    if refused := refusal(case, Step.EXTEND):
        # The rule's hint is about changing a request, so it does not apply here.
        hint = "Request new access." if Step.REQUEST in STEPS[refused.of] else refused.fix
        raise MayNotExtend(refused.message, hint=hint, moments=refused.moments)
    return case


def _save(
    grant: Grant, requester: Identity, seconds: int, reason: str, document: PolicyDocument, now: dt.datetime
) -> AccessRequest:
    request = AccessRequest(
        number=next_number(),
        kind=RequestKind.EXTENSION,
        extends=grant,
        requester=requester,
        cluster=grant.cluster,
        policy=grant.policy,
        policy_version=grant.policy.version,
        command_set_version=grant.command_set_version,
        workflow=grant.workflow,
        parameters=grant.parameters,
        targets=sorted(grant.targets.values_list("pk", flat=True)),
        duration=seconds,
        terms=grant.request.terms,
        reason=reason,
        ticket=grant.request.ticket,
        created_at=now,
        lapses_at=min(now + dt.timedelta(seconds=document.decision_time), grant.expires_at),
    )
    request.digest = facts.scope_of(request).digest()
    request.save()
    record(
        event=Event.REQUEST_CREATED,
        actor=actor_of(requester),
        object_type="request",
        object_ref=request.ref,
        now=now,
        data={
            "kind": request.kind,
            "extends": grant.ref,
            "duration": seconds,
            "reason": request.reason,
            "digest": request.digest,
        },
    )
    return request


def _notify(request: AccessRequest, document: PolicyDocument, now: dt.datetime) -> None:
    notify_approvers(
        people=notified_first(deciders_of(request), document),
        event=Event.REQUEST_CREATED,
        subject=subject_of(request),
        body=facts_to_decide(request, now),
        path=f"/approvals/{request.ref}/",
        of=request,
        now=now,
    )
    await_answer(of=request, document=document, now=now)
