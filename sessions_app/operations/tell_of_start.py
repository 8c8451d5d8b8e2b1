"""Tell approvers of access that started without waiting for them."""

from __future__ import annotations

import datetime as dt

from accounts.models import Identity
from broker.audit.events import Event
from sessions_app.models import AccessRequest, Asks, Grant, RequestKind
from sessions_app.operations.tell import tell
from sessions_app.policy.policies import PolicyDocument


def tell_of_start(
    *, request: AccessRequest, document: PolicyDocument, grant: Grant, now: dt.datetime
) -> None:
    """Tell all who approve under the policy, or, where it has no approvers, its administrators, but never the holder."""
    groups = document.approver_groups or (document.administrators or document.requesters).groups
    glass = request.kind == RequestKind.BREAK_GLASS
    what = "broke the glass" if glass else f"has access for {request.workflow}"
    tell(
        people=Identity.objects.active()
        .filter(groups__name__in=groups)
        .exclude(pk=request.requester_id)
        .distinct(),
        event=Event.BREAKGLASS_STARTED if glass else Event.GRANT_SCHEDULED,
        subject=f"{request.requester} {what} on {request.cluster}",
        body=request.reason,
        path=f"/grants/{grant.ref}/",
        asks=Asks.LIVE,
        of=grant,
        now=now,
    )
