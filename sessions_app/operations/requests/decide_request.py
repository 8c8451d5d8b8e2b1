"""Record one approver's verdict on one request."""

from __future__ import annotations

import datetime as dt
from typing import Any

from django.db import transaction
from django.db.models import prefetch_related_objects

from accounts.actors import actor_of
from accounts.models import Identity
from broker.audit.events import Event
from broker.audit.record import record
from broker.kernel.errors import Conflict, Forbidden, InvalidInput, NotFound
from broker.kernel.moments import Sayer
from broker.kernel.text import checked_text
from sessions_app.models import (
    AccessRequest,
    Approval,
    Asks,
    Grant,
    RequestKind,
    RequestState,
    Target,
    Verdict,
    Workflow,
)
from sessions_app.operations.grants.apply_extension import apply_extension
from sessions_app.operations.grants.make_grant import make_grant
from sessions_app.operations.notifications.notify import notify
from sessions_app.operations.notifications.notify_of_start import notify_of_start
from sessions_app.operations.requests.extend_grant import check_extension, read_workflow_of
from sessions_app.operations.requests.request_access import RequestRefused
from sessions_app.policy.approvals import Standing, resolve
from sessions_app.policy.decision import Outcome
from sessions_app.policy.durations import say_duration
from sessions_app.policy.evaluate import evaluate
from sessions_app.policy.scope import CannotWiden, Extent
from sessions_app.queries import facts
from sessions_app.queries.deciders import counted_verdicts, may_not_decide
from sessions_app.queries.extents import extent_of, left_digest, left_of
from sessions_app.queries.starts import later_start
from sessions_app.queries.workflows import why_over


class MayNotDecide(Forbidden):
    """The verdict would not count; the message says why."""

    code = "may_not_decide"


class ScopeChanged(Conflict):
    """The request changed after the approver read it, so the verdict was not counted."""

    code = "scope_changed"


class AlreadyDecided(Conflict):
    """The request is no longer pending."""

    code = "already_decided"


def decide_request(
    *,
    request_id: int,
    approver: Identity,
    verdict: str,
    digest: str,
    comment: str = "",
    narrowing: dict[str, Any] | None = None,
    left: str = "",
    now: dt.datetime,
) -> AccessRequest:
    """Record a verdict on exactly the scope with this digest. If the verdict settles the request, act on it.

    ``narrowing`` can reduce what an approval allows: ``duration`` in seconds, and the ``commands`` (indices) and
    ``targets`` (ids) that are kept. ``left`` is the digest of what other approvers had left of the request when it was
    read (`left_digest`). If another approver has reduced the request since then, an approval is not counted. A denial
    settles the request at once and needs a comment. Repeating a verdict on the same scope, with the same reduction,
    changes nothing.

    Raises NotFound, MayNotDecide, AlreadyDecided, ScopeChanged, InvalidInput, RequestRefused, and for extensions
    MayNotExtend and GrantIsOver.
    """
    if verdict == Verdict.APPROVE:
        # An extension takes effect with the verdict. Everything else takes effect with a start, which asks the source
        # again.
        asked = AccessRequest.objects.filter(pk=request_id, extends__isnull=False)
        if asked.exists():
            seen = asked.visible_to(approver).filter(state=RequestState.PENDING)
            read_workflow_of(Grant.objects.filter(pk__in=seen.values("extends_id")), now)
    with transaction.atomic():
        request = _load(request_id, approver)
        why_not = may_not_decide(request, approver)
        if why_not:
            raise MayNotDecide(why_not, hint="Another approver must decide it.")
        narrowing = {name: value for name, value in (narrowing or {}).items() if value is not None}
        if repeated := _same_verdict(request, approver, verdict, digest, narrowing, now):
            return repeated
        _check_open(request, now)
        targets = facts.targets_of(request)
        _check_scope(request, targets, digest)
        _check_left(request, verdict, left)
        comment = checked_text(comment, field="comment")
        narrowing = _checked(request, verdict, comment, narrowing)
        Approval.objects.create(
            request=request, approver=approver, verdict=verdict, digest=digest, narrowing=narrowing,
            comment=comment, created_at=now,
        )  # fmt: skip
        # All that counts from here on, read once.
        prefetch_related_objects([request], "approvals")
        _settle(request, targets, approver, comment, narrowing, now)
    return request


def _load(request_id: int, approver: Identity) -> AccessRequest:
    bound = AccessRequest.objects.filter(pk=request_id).values_list("workflow_id", "extends_id").first()
    workflow, extends = bound or (None, None)
    # Same lock order as closing a workflow and as ending a grant: first these, then what is bound to them.
    if workflow is not None:
        Workflow.objects.select_for_update(no_key=True, of=("self",)).filter(pk=workflow).first()
    if extends is not None:
        Grant.objects.select_for_update(no_key=True).filter(pk=extends).first()
    request = (
        AccessRequest.objects.visible_to(approver)
        .select_for_update(no_key=True, of=("self",))
        .select_related(
            "requester__owner",
            "cluster",
            "policy",
            "command_set_version__command_set",
            "extends",
            "workflow__source",
        )
        .filter(pk=request_id)
        .first()
    )
    if request is None:
        raise NotFound("Request not found.")
    return request


def _same_verdict(
    request: AccessRequest,
    approver: Identity,
    verdict: str,
    digest: str,
    narrowing: dict[str, Any],
    now: dt.datetime,
) -> AccessRequest | None:
    """Return the request if this verdict is already recorded, as after a double click or a resubmitted form.

    Until the request is settled, an approver can still change an approval into a denial. An approval is not replaced by
    one with another reduction: other approvers may have decided on what the first one left.
    """
    given = request.approvals.filter(approver=approver, voided_at__isnull=True).first()
    if given is None:
        return None
    same = given.verdict == verdict and given.digest == digest
    if same and (verdict == Verdict.DENY or given.narrowing == narrowing):
        return request
    if request.state == RequestState.PENDING and (given.digest != request.digest or verdict == Verdict.DENY):
        given.voided_at = now
        given.save(update_fields=["voided_at"])
        return None
    if same:
        raise AlreadyDecided(
            "You have already approved this request with another scope, which still counts.",
            hint="Deny the request if less must be allowed.",
        )
    raise AlreadyDecided("You have already decided this request.", hint="Open the request to see its status.")


def _check_open(request: AccessRequest, now: dt.datetime) -> None:
    if request.state != RequestState.PENDING:
        raise AlreadyDecided(f"{request.ref} is already {request.state}.", hint="Open it to see who decided.")
    if request.lapses_at <= now:
        raise AlreadyDecided(f"{request.ref} has lapsed.", hint="The requester can submit a new one.")
    if request.workflow is not None and (over := why_over(request.workflow, now)):
        raise AlreadyDecided(
            f"{request.ref} has lapsed: {over}.",
            hint="The requester can submit a new request for another workflow.",
        )


def _check_scope(request: AccessRequest, targets: list[Target], digest: str) -> None:
    current = facts.scope_of(request, targets).digest()
    if digest != request.digest or current != request.digest:
        raise ScopeChanged(
            "The request, or its targets or commands, changed since you read it.",
            hint="Reload it and read it again. If it can no longer be approved, ask the requester to submit a new one.",
        )


def _check_left(request: AccessRequest, verdict: str, left: str) -> None:
    if left and verdict == Verdict.APPROVE and left != left_digest(request):
        raise ScopeChanged(
            "Another approver reduced the scope while you were reading, so your approval was not counted.",
            hint="Review the reduced scope and decide again.",
        )


def _checked(request: AccessRequest, verdict: str, comment: str, narrowing: dict[str, Any]) -> dict[str, Any]:
    if verdict not in Verdict.values:
        raise InvalidInput("A verdict is `approve` or `deny`.", fields={"verdict": ["Unknown verdict."]})
    if verdict == Verdict.DENY:
        if not comment:
            raise InvalidInput(
                "A comment is required to deny a request.",
                hint="Explain why, so the requester knows what to change.",
                fields={"comment": ["A comment is required to deny a request."]},
            )
        return {}
    if request.kind == RequestKind.EXTENSION and set(narrowing) - {"duration"}:
        raise InvalidInput(
            "Only the duration of an extension can be reduced.",
            hint="Deny it and ask the holder to submit a new request.",
        )
    try:
        given = extent_of(request).narrowed(narrowing)
    except CannotWiden as error:
        raise InvalidInput(
            str(error),
            hint="Approvers can only reduce a request.",
            fields={key: [str(error)] for key, kept in narrowing.items() if not kept},
        ) from error
    try:
        left_of(request).meet([given])
    except CannotWiden as error:
        raise InvalidInput(str(error), hint="Agree on a scope with the other approver, or deny.") from error
    return narrowing


def _settle(
    request: AccessRequest,
    targets: list[Target],
    approver: Identity,
    comment: str,
    narrowing: dict[str, Any],
    now: dt.datetime,
) -> None:
    document = facts.policy_document(request.policy)
    resolution = resolve(
        clauses=facts.clauses_of(request, document),
        verdicts=counted_verdicts(request),
        digest=request.digest,
    )
    if resolution.standing is Standing.DENIED:
        _close(request, RequestState.DENIED, Event.REQUEST_DENIED, approver, comment, now)
        _notify_requester(request, f"{approver} denied {request.ref}", comment, now)
        return
    if narrowing:
        record(
            event=Event.REQUEST_NARROWED, actor=actor_of(approver), object_type="request", object_ref=request.ref,
            now=now, data=narrowing,
        )  # fmt: skip
    if resolution.standing is Standing.PENDING:
        record(
            event=Event.REQUEST_APPROVED, actor=actor_of(approver), object_type="request", object_ref=request.ref,
            now=now, data={"settled": False, "missing": sum(resolution.missing), "digest": request.digest,
                           "comment": comment},
        )  # fmt: skip
        return
    extent = left_of(request)
    _check_allowed_still(request, targets, extent, now)
    _close(request, RequestState.APPROVED, Event.REQUEST_APPROVED, approver, comment, now)
    if request.kind == RequestKind.EXTENSION:
        apply_extension(request=request, seconds=extent.duration, actor=actor_of(approver), now=now)
    else:
        grant = make_grant(request=request, extent=extent, actor=actor_of(approver), now=now)
        if request.kind == RequestKind.INCIDENT:
            notify_of_start(request=request, document=document, grant=grant, now=now)
    _notify_requester(request, f"{request.ref} is approved", comment, now)


def _check_allowed_still(
    request: AccessRequest, targets: list[Target], extent: Extent, now: dt.datetime
) -> None:
    """Evaluate the policy again on approval, because people, clusters and windows may have changed."""
    if request.extends is not None:
        check_extension(grant=request.extends, seconds=extent.duration, now=now, deciding=request)
        return
    document = facts.policy_document(request.policy)
    world = facts.facts_for(
        policy=request.policy, document=document, requester=request.requester, cluster=request.cluster,
        version=request.command_set_version, targets=targets, now=now,
        workflow=request.workflow,
    )  # fmt: skip
    decision = evaluate(ask=facts.ask_now(request, now), facts=world, policy=document)
    if decision.outcome is Outcome.REFUSED:
        raise RequestRefused(decision)


def _close(
    request: AccessRequest,
    state: RequestState,
    event: Event,
    approver: Identity,
    comment: str,
    now: dt.datetime,
) -> None:
    request.state, request.decided_at = state, now
    request.save(update_fields=["state", "decided_at"])
    record(
        event=event, actor=actor_of(approver), object_type="request", object_ref=request.ref, now=now,
        data={"settled": True, "digest": request.digest, "comment": comment},
    )  # fmt: skip


def _what(request: AccessRequest, now: dt.datetime, say: Sayer) -> str:
    what = f"{request.command_set_version.command_set} on {request.cluster}"
    if request.state != RequestState.APPROVED:
        return what
    later = later_start(request, now)
    start = say.moment(later) if later else "immediately"
    less = _less(request)
    what = f"{what}\n{less}" if less else what
    return what if request.extends else f"{what}\nIt starts {start} and ends automatically."


def _less(request: AccessRequest) -> str:
    """Return in words what approvers left of a request; empty if they left all of it."""
    whole, left = extent_of(request), left_of(request)
    parts = [
        f"{say_duration(left.duration)} instead of {say_duration(whole.duration)}" if left.duration != whole.duration else "",
        *(
            f"{len(kept)} of {len(asked)} {name}" if kept != asked else ""
            for name, kept, asked in (
                ("commands", left.commands, whole.commands), ("targets", left.targets, whole.targets)
            )
        ),
    ]  # fmt: skip
    said = ", ".join(filter(None, parts))
    return f"Less than you requested: {said}." if said else ""


def _notify_requester(request: AccessRequest, subject: str, comment: str, now: dt.datetime) -> None:
    grant = getattr(request, "grant", None)
    denied = request.state == RequestState.DENIED
    notify(
        people=[request.requester],
        event=Event.REQUEST_APPROVED if request.state == RequestState.APPROVED else Event.REQUEST_DENIED,
        subject=subject,
        body=lambda say: "\n".join(
            filter(None, [_what(request, now, say), f"Comment: {comment}" if comment else ""])
        ),
        path=f"/requests/{request.ref}/",
        asks=Asks.AGAIN if denied else Asks.LIVE if grant else Asks.NOTHING,
        of=request if denied else grant,
        now=now,
    )
