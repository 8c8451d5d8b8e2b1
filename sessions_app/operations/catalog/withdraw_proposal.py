"""Withdraw a proposed version of a document."""

from __future__ import annotations

import datetime as dt

from django.db import transaction

from accounts.models import Identity
from broker.audit.events import Event
from broker.kernel.errors import Forbidden
from sessions_app.models import Proposal, ProposalState
from sessions_app.operations.catalog.document_state import pending_proposal, settle_proposal


class NotItsProposer(Forbidden):
    """Only the proposer can withdraw a proposal."""

    code = "not_its_proposer"


def withdraw_proposal(*, proposal_id: int, actor: Identity, now: dt.datetime) -> Proposal:
    """Withdraw one of the actor's own proposals. Raises NotFound, NotItsProposer, ProposalOver."""
    with transaction.atomic():
        proposal = pending_proposal(proposal_id=proposal_id, actor=actor, now=now)
        if proposal.proposed_by != actor:
            raise NotItsProposer(
                "Only the proposer can withdraw the proposal.", hint="Deny the proposal instead."
            )
        settle_proposal(
            proposal=proposal,
            state=ProposalState.WITHDRAWN,
            event=Event.PROPOSAL_WITHDRAWN,
            actor=actor,
            now=now,
        )
    return proposal
