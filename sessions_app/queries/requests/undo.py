"""Whether an approver can still withdraw an approval.

Pages, the API and the operation share this definition.
"""

from __future__ import annotations

import datetime as dt

from sessions_app.models import AccessRequest, Approval, Grant, GrantState, RequestState, Verdict

WITHIN = dt.timedelta(seconds=10)


def why_final(request: AccessRequest, approval: Approval, grant: Grant | None, now: dt.datetime) -> str:
    """Return why an approval can't be withdrawn; empty if it can.

    An approval can be withdrawn for ten seconds while nothing has started: while the request is pending, or
    its ``grant`` waits for a later start. A denial is final, because the requester may have acted on it. Uses
    prefetched verdicts.
    """
    if approval.verdict != Verdict.APPROVE:
        return "A denial is final."
    if now - approval.created_at >= WITHIN:
        return f"An approval can be withdrawn for {WITHIN.seconds} seconds."
    if request.state == RequestState.PENDING:
        return _relied_on(request, approval)
    if grant is None or grant.state != GrantState.SCHEDULED or grant.starts_at <= now:
        return f"{request.ref} is no longer waiting to start."
    return ""


def _relied_on(request: AccessRequest, approval: Approval) -> str:
    """Return why another approval relies on the scope that this approval left; empty if none does."""
    later = (one for one in request.approvals.all() if one.voided_at is None and one.pk > approval.pk)
    other = next(later, None) if approval.narrowing else None
    return f"{other.approver} has approved the reduced scope since." if other else ""
