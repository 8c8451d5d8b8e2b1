"""Refusing what another administrator proposed."""

import pytest

from sessions_app.models import Notice, ProposalState
from sessions_app.operations.catalog.document_state import ProposalOver, state_of
from sessions_app.operations.catalog.publish_proposal import MayNotPublish, publish_proposal
from sessions_app.operations.catalog.refuse_proposal import refuse_proposal
from tests.support.world.acts import last
from tests.support.world.proposals import delegate, propose


def test_a_refused_proposal_changes_nothing_and_its_proposer_learns_why(world):
    delegate(world)
    proposal, before = propose(world), state_of("policies", "web-work")
    with pytest.raises(MayNotPublish, match="your own proposal"):
        refuse_proposal(proposal_id=proposal.pk, actor=world.dora, now=world.now)
    refused = refuse_proposal(
        proposal_id=proposal.pk, actor=world.bob, now=world.now, comment="Two must approve."
    )
    assert (refused.state, refused.decided_by) == (ProposalState.REFUSED, world.bob)
    assert last("proposal.refused", "web-work").data["comment"] == "Two must approve."
    told = Notice.objects.get(event="proposal.refused")
    assert (told.identity, told.body) == (world.dora, "Two must approve.")
    with pytest.raises(ProposalOver, match="already denied"):
        publish_proposal(proposal_id=proposal.pk, actor=world.bob, now=world.now)
    assert state_of("policies", "web-work") == before
