"""Record one approver's verdict on one request."""

from __future__ import annotations

import datetime as dt
from typing import Any

from django.db import transaction

from accounts.actors import actor_of
from accounts.models import Identity
from broker.audit.actor import Actor
from broker.audit.events import Event
from broker.audit.record import record
from broker.kernel.errors import Conflict, Forbidden, InvalidInput, NotFound
from broker.kernel.moments import Sayer
from broker.kernel.postgresql.prepared import prepared
from broker.kernel.postgresql.rows import Rows, ask
from broker.kernel.postgresql.writes import write
from broker.kernel.text import checked_text
from broker.kernel.tracing import traced
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
from sessions_app.policy.approval_count import Resolution, Standing, resolve
from sessions_app.policy.case import Case
from sessions_app.policy.decision import Outcome
from sessions_app.policy.evaluate import evaluate
from sessions_app.policy.scope import CannotWiden, Extent
from sessions_app.policy.steps import Step
from sessions_app.queries.grants.lives import life_of_request
from sessions_app.queries.requests import facts
from sessions_app.queries.requests.case import case_of_request
from sessions_app.queries.requests.confirmation import check_confirmed
from sessions_app.queries.requests.deciders import counted_verdicts, may_not_decide, read_verdicts
from sessions_app.queries.requests.extents import extent_of, left_digest, left_of, say_reduction
from sessions_app.queries.requests.starts import later_start
from sessions_app.queries.workflows.workflows import why_over


class MayNotDecide(Forbidden):
    """Your verdict would not count, for example because the request is your own. The message gives the
    reason.
    """

    code = "may_not_decide"


class ScopeChanged(Conflict):
    """The request changed after you read it, so your verdict was not counted. Read the request again."""

    code = "scope_changed"


class AlreadyDecided(Conflict):
    """The request is no longer pending. Open it to see who decided."""

    code = "already_decided"


@traced("stint.decide", life_of_request)
@prepared()
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
    """Record a verdict on the scope with this digest. If it settles the request, apply the outcome.

    ``narrowing`` can reduce what an approval allows: ``duration`` in seconds, and the ``commands`` (indices)
    and ``targets`` (ids) to keep. ``left`` is the digest of the scope that earlier approvers had left when
    the request was read (`left_digest`). An approval is not counted if another approver has reduced it since
    then. A denial settles the request, and needs a comment. Repeating the same verdict changes nothing.

    Raises NotFound, MayNotDecide, AlreadyDecided, ProofNeeded, SignInNeeded, ScopeChanged, InvalidInput,
    RequestRefused, and for extensions MayNotExtend and GrantIsOver.
    """
    workflow, extends = _bound_to(request_id, approver, verdict, now)
    with transaction.atomic():
        request = lock_request(request_id, approver, workflow, extends)
        if why_not := may_not_decide(request, approver):
            raise MayNotDecide(why_not, hint="Another approver must decide.")
        narrowing = {name: value for name, value in (narrowing or {}).items() if value is not None}
        given = given_by(request, approver)
        if given is not None and _is_repeated(request, given, verdict, digest, narrowing):
            return request
        _check_open(request, now)
        if verdict == Verdict.APPROVE:
            check_confirmed(request.policy, approver, now, page=f"/approvals/{request.ref}/")
        targets = facts.targets_of(request)
        _check_scope(request, targets, digest)
        _check_left(request, verdict, left)
        comment = checked_text(comment, field="comment")
        extent = _checked(request, verdict, comment, narrowing)
        approval = Approval(
            request=request,
            approver=approver,
            verdict=verdict,
            digest=digest,
            comment=comment,
            created_at=now,
            narrowing=narrowing if verdict == Verdict.APPROVE else {},
        )
        resolution = _counted(approval)
        approved = resolution.standing is Standing.APPROVED
        case = _judged(request, targets, extent, now) if approved else None
        # All checks are done. The following code writes the outcome.
        if given is not None:
            given.voided_at = now
            given.save(update_fields=["voided_at"])
        request.approvals.add(approval, bulk=False)
        _settle(approval, actor_of(approver), resolution, extent, case)
    return request


def _bound_to(
    request_id: int, approver: Identity, verdict: str, now: dt.datetime
) -> tuple[int | None, int | None]:
    """Return the ids of a request's workflow and of the grant that it extends. Neither can change.

    Before an extension is approved, its workflow is read from the source, because an extension takes effect
    with the verdict. For other requests, the workflow is read again at the start.
    """
    bound = ask("SELECT workflow_id, extends_id FROM sessions_app_accessrequest WHERE id = %s", request_id)
    workflow, extends = next(iter(bound), (None, None))
    if verdict == Verdict.APPROVE and extends is not None:
        seen = AccessRequest.objects.visible_to(approver).filter(pk=request_id, state=RequestState.PENDING)
        read_workflow_of(Grant.objects.filter(pk__in=seen.values("extends_id")), now)
    return workflow, extends


_LOCKED = Rows(
    AccessRequest,
    "requester__owner",
    "cluster",
    "policy",
    "command_set_version__command_set",
    "workflow__source",
    "extends",
    "parent",
    tail="WHERE sessions_app_accessrequest.id = %s FOR NO KEY UPDATE OF sessions_app_accessrequest",
)


def lock_request(
    request_id: int, approver: Identity, workflow: int | None, extends: int | None
) -> AccessRequest:
    """Lock a request that the approver can see, with its verdicts. Raises NotFound."""
    # Closing a workflow and ending a grant lock in the same order: these rows, then those bound to them.
    if workflow is not None:
        Workflow.objects.select_for_update(no_key=True, of=("self",)).filter(pk=workflow).first()
    if extends is not None:
        Grant.objects.select_for_update(no_key=True).filter(pk=extends).first()
    request = _LOCKED.first(request_id)
    if request is None or not AccessRequest.objects.visible_to(approver).filter(pk=request_id).exists():
        raise NotFound("Request not found.")
    read_verdicts(request)
    return request


def given_by(request: AccessRequest, approver: Identity) -> Approval | None:
    """Return this account's currently counted verdict, if there is one. Uses prefetched verdicts."""
    standing = (one for one in request.approvals.all() if one.voided_at is None)
    return next((one for one in standing if one.approver_id == approver.pk), None)


def _is_repeated(
    request: AccessRequest, given: Approval, verdict: str, digest: str, narrowing: dict[str, Any]
) -> bool:
    """Whether this verdict is already recorded, for example because of a double click or a second submission.

    A different verdict replaces the earlier one, or raises AlreadyDecided. An approval can become a denial
    until the request is settled, but its reduction can't change, because others may rely on it.
    """
    same = given.verdict == verdict and given.digest == digest
    if same and (verdict == Verdict.DENY or given.narrowing == narrowing):
        return True
    if request.state == RequestState.PENDING and (given.digest != request.digest or verdict == Verdict.DENY):
        return False
    if same:
        raise AlreadyDecided(
            "You have already approved this request with another scope, which still counts.",
            hint="If the scope must be smaller, deny the request.",
        )
    raise AlreadyDecided("You have already decided this request.", hint="Open the request to see its status.")


def _check_open(request: AccessRequest, now: dt.datetime) -> None:
    if request.state != RequestState.PENDING:
        raise AlreadyDecided(
            f"{request.ref} is already {RequestState(request.state).label.lower()}.",
            hint="Open the request to see who decided.",
        )
    if request.lapses_at <= now:
        raise AlreadyDecided(f"{request.ref} has expired.", hint="The requester can submit a new request.")
    if request.workflow is not None and (over := why_over(request.workflow, now)):
        raise AlreadyDecided(
            f"{request.ref} has expired: {over}.",
            hint="The requester can submit a new request for another workflow.",
        )


def _check_scope(request: AccessRequest, targets: list[Target], digest: str) -> None:
    current = facts.scope_of(request, targets).digest()
    if digest != request.digest or current != request.digest:
        raise ScopeChanged(
            "The request, its targets or its commands changed after you read it.",
            hint=(
                "Reload and review it again. If it can no longer be approved, ask the requester to "
                "submit a new one."
            ),
        )


def _check_left(request: AccessRequest, verdict: str, left: str) -> None:
    if left and verdict == Verdict.APPROVE and left != left_digest(request):
        raise ScopeChanged(
            "Another approver reduced the scope while you were reading, so your approval was not counted.",
            hint="Review the reduced scope and decide again.",
        )


def _checked(request: AccessRequest, verdict: str, comment: str, narrowing: dict[str, Any]) -> Extent:
    """Return the scope of the request that remains after this verdict."""
    if verdict not in Verdict.values:
        raise InvalidInput("A verdict is `approve` or `deny`.", fields={"verdict": ["Unknown verdict."]})
    if verdict == Verdict.DENY:
        if not comment:
            raise InvalidInput(
                "A comment is required to deny a request.",
                hint="Explain why, so the requester knows what to change.",
                fields={"comment": ["A comment is required to deny a request."]},
            )
        return Extent(0, frozenset(), frozenset())
    if request.kind == RequestKind.EXTENSION and set(narrowing) - {"duration"}:
        raise InvalidInput(
            "Only the duration of an extension can be reduced.",
            hint="Deny the extension and ask the holder to submit a new request.",
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
        return left_of(request).meet([given])
    except CannotWiden as error:
        raise InvalidInput(
            str(error), hint="Agree on a scope with the other approver, or deny the request."
        ) from error


def _counted(approval: Approval) -> Resolution:
    """Count the verdicts on the request, including this one, which is not stored yet."""
    request = approval.request
    return resolve(
        clauses=facts.clauses_of(request, facts.policy_document(request.policy)),
        verdicts=counted_verdicts(request, adding=approval),
        digest=request.digest,
    )


def _judged(request: AccessRequest, targets: list[Target], extent: Extent, now: dt.datetime) -> Case:
    """Return the case of an approved request, after another evaluation, because its facts may have changed.

    Raises RequestRefused, MayNotExtend.
    """
    if request.extends is not None:
        return check_extension(grant=request.extends, seconds=extent.duration, now=now, deciding=request)
    case = case_of_request(request, targets, now)
    decision = evaluate(case, Step.APPROVE)
    if decision.outcome is Outcome.REFUSED:
        raise RequestRefused(decision)
    return case


def _settle(
    approval: Approval, actor: Actor, resolution: Resolution, extent: Extent, case: Case | None
) -> None:
    """Write the consequences of a verdict.

    ``case`` belongs to the approved request; None if the request is not approved.
    """
    request, comment, now = approval.request, approval.comment, approval.created_at
    if resolution.standing is Standing.DENIED:
        _close(request, RequestState.DENIED, Event.REQUEST_DENIED, actor, comment, now)
        _notify_requester(request, f"{approval.approver} denied {request.ref}", comment, extent, now)
        return
    if approval.narrowing:
        record(
            event=Event.REQUEST_NARROWED,
            actor=actor,
            object_type="request",
            object_ref=request.ref,
            now=now,
            data=approval.narrowing,
        )
    if case is None:
        record(
            event=Event.REQUEST_APPROVED,
            actor=actor,
            object_type="request",
            object_ref=request.ref,
            now=now,
            data={
                "settled": False,
                "missing": sum(resolution.missing),
                "digest": request.digest,
                "comment": comment,
            },
        )
        return
    _close(request, RequestState.APPROVED, Event.REQUEST_APPROVED, actor, comment, now)
    if request.kind == RequestKind.EXTENSION:
        apply_extension(request=request, seconds=extent.duration, actor=actor, now=now)
    else:
        grant = make_grant(
            request=request,
            extent=extent,
            document=case.policy,
            review_within=case.review_within,
            actor=actor,
            now=now,
        )
        if request.kind == RequestKind.INCIDENT:
            notify_of_start(request=request, document=case.policy, grant=grant, now=now)
    _notify_requester(request, f"{request.ref} is approved", comment, extent, now)


def _close(
    request: AccessRequest,
    state: RequestState,
    event: Event,
    actor: Actor,
    comment: str,
    now: dt.datetime,
) -> None:
    request.state, request.decided_at = state, now
    write(request, "state", "decided_at")
    record(
        event=event,
        actor=actor,
        object_type="request",
        object_ref=request.ref,
        now=now,
        data={"settled": True, "digest": request.digest, "comment": comment},
    )


def _what(request: AccessRequest, left: Extent, now: dt.datetime, say: Sayer) -> str:
    what = f"{request.command_set_version.command_set} on {request.cluster}"
    if request.state != RequestState.APPROVED:
        return what
    later = later_start(request, now)
    start = say.moment(later) if later else "immediately"
    less = say_reduction(request, left)
    what = f"{what}\n{less}" if less else what
    return what if request.extends else f"{what}\nAccess starts {start} and ends automatically."


def _notify_requester(
    request: AccessRequest, subject: str, comment: str, left: Extent, now: dt.datetime
) -> None:
    grant = getattr(request, "grant", None)
    denied = request.state == RequestState.DENIED
    notify(
        people=[request.requester],
        event=Event.REQUEST_APPROVED if request.state == RequestState.APPROVED else Event.REQUEST_DENIED,
        subject=subject,
        body=lambda say: "\n".join(
            filter(None, [_what(request, left, now, say), f"Comment: {comment}" if comment else ""])
        ),
        path=f"/requests/{request.ref}/",
        asks=Asks.AGAIN if denied else Asks.LIVE if grant else Asks.NOTHING,
        of=request if denied else grant,
        now=now,
    )
