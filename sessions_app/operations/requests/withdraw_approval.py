"""Withdraw an approval that was just given."""

from __future__ import annotations

import datetime as dt

from django.db import transaction

from accounts.actors import actor_of
from accounts.models import Identity
from broker.audit.backlog import record_end
from broker.audit.events import Event
from broker.kernel.errors import Conflict
from sessions_app.models import AccessRequest, EndReason, Grant
from sessions_app.operations.grants.end_grant import end_grant
from sessions_app.operations.requests.decide_request import given_by, lock_request
from sessions_app.queries.requests.undo import why_final


class TooLateToWithdraw(Conflict):
    """Your approval can't be withdrawn anymore. The message gives the reason. Deny the request, or end the
    grant.
    """

    code = "too_late_to_withdraw"


def withdraw_approval(*, request_id: int, approver: Identity, now: dt.datetime) -> AccessRequest:
    """Withdraw the approver's own approval, within seconds and before anything has started.

    A pending request is then in the same state as if the approval had never been given. If the request was
    already approved for a later start, its grant ends before it starts. Raises NotFound, TooLateToWithdraw.
    """
    # The database rejects any change to either of these.
    bound = AccessRequest.objects.filter(pk=request_id).values_list("workflow_id", "extends_id").first()
    with transaction.atomic():
        request = lock_request(request_id, approver, *(bound or (None, None)))
        given = given_by(request, approver)
        if given is None:
            raise TooLateToWithdraw(f"You have no approval of {request.ref} to withdraw.")
        grant = Grant.objects.select_for_update(no_key=True).filter(request=request).first()
        if why := why_final(request, given, grant, now):
            raise TooLateToWithdraw(why, hint=f"End {grant.ref} instead." if grant else "")
        given.voided_at = now
        given.save(update_fields=["voided_at"])
        if grant is not None:
            reason, note = EndReason.REVOKED, f"{approver} withdrew the approval."
            end_grant(grant_id=grant.pk, actor=approver, reason=reason, note=note, now=now)
        record_end(
            event=Event.REQUEST_APPROVAL_WITHDRAWN,
            actor=actor_of(approver),
            object_type="request",
            object_ref=request.ref,
            now=now,
            data={"digest": request.digest, **({"grant": grant.ref} if grant else {})},
        )
    return request
