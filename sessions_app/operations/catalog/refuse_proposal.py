"""Deny a proposed version of a document."""

from __future__ import annotations

import datetime as dt

from django.db import transaction

from accounts.models import Identity
from broker.audit.events import Event
from broker.kernel.text import checked_text
from sessions_app.models import Proposal, ProposalState
from sessions_app.operations.catalog.document_state import (
    pending_proposal,
    settle_proposal,
)
from sessions_app.operations.catalog.publish_proposal import MayNotPublish
from sessions_app.queries.catalog.widening import may_not_publish


def refuse_proposal(*, proposal_id: int, actor: Identity, now: dt.datetime, comment: str = "") -> Proposal:
    """Deny another administrator's proposal.

    The comment is sent to the proposer, and the document does not change.

    Raises NotFound, MayNotPublish, ProposalOver, InvalidInput.
    """
    comment = checked_text(comment, field="comment")
    with transaction.atomic():
        proposal = pending_proposal(proposal_id=proposal_id, actor=actor, now=now)
        if why := may_not_publish(proposal, actor):
            raise MayNotPublish(why, hint="Withdraw the proposal instead.")
        settle_proposal(
            proposal=proposal,
            state=ProposalState.REFUSED,
            event=Event.PROPOSAL_REFUSED,
            actor=actor,
            now=now,
            comment=comment,
        )
    return proposal
