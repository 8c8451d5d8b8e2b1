"""Withdrawing one's own proposal."""

import pytest

from sessions_app.models import ProposalState
from sessions_app.operations.catalog.document_state import ProposalOver
from sessions_app.operations.catalog.publish_proposal import publish_proposal
from sessions_app.operations.catalog.withdraw_proposal import NotItsProposer, withdraw_proposal
from tests.support.world.acts import last
from tests.support.world.proposals import delegate, propose


def test_only_its_proposer_withdraws_a_proposal_and_then_nobody_publishes_it(world):
    delegate(world)
    proposal = propose(world)
    for who in (world.bob, world.admin):
        with pytest.raises(NotItsProposer):
            withdraw_proposal(proposal_id=proposal.pk, actor=who, now=world.now)
    withdrawn = withdraw_proposal(proposal_id=proposal.pk, actor=world.dora, now=world.now)
    assert withdrawn.state == ProposalState.WITHDRAWN
    assert last("proposal.withdrawn", "web-work").actor == "dora"
    with pytest.raises(ProposalOver, match="already withdrawn"):
        publish_proposal(proposal_id=proposal.pk, actor=world.bob, now=world.now)
