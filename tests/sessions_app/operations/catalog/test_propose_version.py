"""Proposing: what may widen a document is stored, recorded and told, and gives nothing."""

import pytest

from sessions_app.models import Notice, Proposal, ProposalState
from sessions_app.operations.catalog.propose_version import AlreadyProposed
from sessions_app.operations.requests.check_request import NotRequestable
from tests.support.world.acts import after, change, fresh, intact, last
from tests.support.world.proposals import WIDER, delegate, propose, web_work


@pytest.mark.parametrize("kind", WIDER)
def test_a_proposal_is_recorded_and_told_to_those_who_can_publish_it(world, kind):
    delegate(world)
    proposal = propose(world, kind)
    entry = last("proposal.created", WIDER[kind].name)
    assert (entry.actor, entry.data["proposal"], entry.data["wider"]) == (
        "dora",
        proposal.pk,
        WIDER[kind].wider,
    )
    told = Notice.objects.filter(event="proposal.created")
    assert {notice.identity.username for notice in told} == {"admin", "bob"}
    assert {notice.path for notice in told} == {f"/{kind}/{WIDER[kind].name}/"}
    assert any(line.startswith("+") for line in proposal.diff)
    assert intact()


def test_what_is_proposed_gives_its_proposer_nothing(world):
    delegate(world)
    propose(world)
    with pytest.raises(NotRequestable):
        world.request(world.dora)


def test_a_newer_proposal_replaces_ones_own_and_no_one_elses(world):
    delegate(world)
    first, second = propose(world), propose(world)
    assert (fresh(first).state, second.state) == (ProposalState.WITHDRAWN, ProposalState.PENDING)
    with pytest.raises(AlreadyProposed, match="Dora has already proposed"):
        propose(world, who=world.bob)


def test_one_that_lapsed_is_in_nobodys_way(world):
    delegate(world)
    propose(world)
    change(world, {"policies/web-work.yaml": web_work(world, summary="Changed meanwhile")})
    assert propose(world, who=world.bob).state == ProposalState.PENDING
    assert sorted(Proposal.objects.values_list("state", flat=True)) == ["lapsed", "pending"]
    world.now = after(world, days=8)
    assert propose(world).proposed_by == world.dora
