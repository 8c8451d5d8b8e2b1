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
from sessions_app.operations.grants.provision_grant import refusal
from sessions_app.operations.notifications.await_answer import await_answer
from sessions_app.operations.notifications.notify import notified_first
from sessions_app.operations.notifications.notify_approvers import notify_approvers
from sessions_app.operations.requests.limit_requests import limit_requests
from sessions_app.operations.workflows.read_workflow import SourceUnreadable, UnknownWorkflow, read_workflow
from sessions_app.policy.durations import say_duration
from sessions_app.policy.policies import Extension, PolicyDocument
from sessions_app.policy.windows import covering
from sessions_app.queries import facts
from sessions_app.queries.deciders import deciders_of


class MayNotExtend(Forbidden):
    """The policy does not allow the extension; the message says which limit."""

    code = "may_not_extend"


def extend_grant(
    *, grant_id: int, requester: Identity, seconds: int, reason: str = "", now: dt.datetime
) -> AccessRequest:
    """Request a later end for an active grant of the requester. If the policy needs no approval, extend it at once.

    Sessions continue meanwhile. Raises NotFound (not the requester's grant), GrantIsOver, MayNotExtend, InvalidInput,
    TooManyOpenRequests.
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
        document = facts.policy_document(grant.policy)
        terms = check_extension(grant=grant, seconds=seconds, now=now)
        starts = terms.approvals == "none" or not document.clauses
        if not starts:
            limit_requests(requester=requester, urgent=grant.request.is_urgent, now=now)
        request = _save(grant, requester, seconds, reason, document, now)
        if starts:
            request.state, request.decided_at = RequestState.APPROVED, now
            request.save(update_fields=["state", "decided_at"])
            record(
                event=Event.REQUEST_APPROVED, actor=actor_of(requester), object_type="request",
                object_ref=request.ref, now=now, data={"by": "policy", "policy": grant.policy.name},
            )  # fmt: skip
            apply_extension(request=request, seconds=seconds, actor=actor_of(requester), now=now)
        else:
            _notify(request, document, now)
    return request


def read_workflow_of(grants: QuerySet[Grant], now: dt.datetime) -> None:
    """Read the workflows of grants that are about to be extended from their source. Later checks find what that ends.

    Raises MayNotExtend if the source does not report a workflow's status.
    """
    outside = grants.filter(state=GrantState.ACTIVE, workflow__source__isnull=False)
    for ref in outside.values_list("workflow__ref", flat=True):
        try:
            read_workflow(ref=ref, now=now)
        except (SourceUnreadable, UnknownWorkflow) as error:
            raise MayNotExtend(error.message, hint="Try again when the source answers.") from error


def check_extension(
    *, grant: Grant, seconds: int, now: dt.datetime, deciding: AccessRequest | None = None
) -> Extension:
    """Return the policy's terms if they allow the extension now. ``deciding`` is the extension about to be approved.

    Raises MayNotExtend, InvalidInput.
    """
    document = facts.approved_document(grant)
    terms = document.extension
    if grant.parent_id is not None:
        raise MayNotExtend(
            f"{grant.ref} was delegated to you and ends with its parent grant.",
            hint="Ask the person who delegated it.",
        )
    if terms is None or grant.review_due_at is not None:
        raise MayNotExtend(
            f"The policy {grant.policy.name} does not allow extensions.", hint="Request new access."
        )
    if seconds <= 0:
        raise InvalidInput("Enter a duration.", fields={"seconds": ["Must be greater than zero."]})
    if seconds > terms.by:
        raise MayNotExtend(
            f"An extension can be at most {say_duration(terms.by)}.",
            hint=f"Request {say_duration(terms.by)} or less.",
        )
    if refused := refusal(grant.request, grant, facts.targets_of(grant.request), now):
        raise MayNotExtend(refused.message, hint="Request new access.", moments=refused.moments)
    _check_vouched(grant, document, terms)
    earlier = grant.extensions.filter(state__in=[RequestState.APPROVED, RequestState.PENDING])
    if deciding is not None:
        earlier = earlier.exclude(pk=deciding.pk)
    if earlier.filter(state=RequestState.PENDING).exists():
        raise MayNotExtend(
            "An extension is already waiting for approval.", hint="Wait for it, or withdraw it."
        )
    if earlier.count() >= terms.times:
        raise MayNotExtend(
            f"The limit of {terms.times} extensions has been reached.", hint="Request new access."
        )
    end = grant.expires_at + dt.timedelta(seconds=seconds)
    if grant.workflow and grant.workflow.ends_at and end > grant.workflow.ends_at:
        raise MayNotExtend(
            f"The extension would end after {grant.workflow.ref}.",
            hint="Shorten the extension, or move the planned end.",
        )
    _check_time(grant, document, end, now)
    return terms


def _check_vouched(grant: Grant, document: PolicyDocument, terms: Extension) -> None:
    """Check that people approve the extension, or that the workflow still stands in for them."""
    if document.clauses and terms.approvals != "none":
        return
    if why := facts.why_not_vouched(grant.request, grant):
        raise MayNotExtend(f"{why}.", hint="Request new access, which is approved or reviewed.")


def _check_time(grant: Grant, document: PolicyDocument, end: dt.datetime, now: dt.datetime) -> None:
    """Check windows and freezes. They do not apply to incidents."""
    if grant.request.kind == RequestKind.INCIDENT:
        return
    if document.windows is not None and not covering(document.windows, now, end):
        raise MayNotExtend(
            "The extension would leave the allowed time window.",
            hint="Shorten it, or request access in another window.",
        )
    if any(freeze.touches(grant.expires_at, end) for freeze in document.freezes):
        raise MayNotExtend("The extension would run into a freeze.", hint="Choose an end before the freeze.")


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
        event=Event.REQUEST_CREATED, actor=actor_of(requester), object_type="request", object_ref=request.ref, now=now,
        data={"kind": request.kind, "extends": grant.ref, "duration": seconds, "reason": request.reason,
              "digest": request.digest},
    )  # fmt: skip
    return request


def _notify(request: AccessRequest, document: PolicyDocument, now: dt.datetime) -> None:
    notify_approvers(
        people=notified_first(deciders_of(request), document),
        event=Event.REQUEST_CREATED,
        subject=f"{request.requester} requests {say_duration(request.duration)} more on {request.cluster}",
        body=request.reason,
        path=f"/approvals/{request.ref}/",
        of=request,
        now=now,
    )
    await_answer(of=request, document=document, now=now)
