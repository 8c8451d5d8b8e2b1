"""Publishing what another administrator proposed."""

import pytest

from accounts.operations.create_identity import create_identity
from broker.kernel.errors import Conflict, NotFound
from sessions_app.models import AccessPolicy, CommandSet, Notice, Proposal
from sessions_app.operations.catalog.catalog_plan import MoreWouldEnd
from sessions_app.operations.catalog.document_state import ProposalOver, state_of
from sessions_app.operations.catalog.publish_command_set import key_of, publish_command_set
from sessions_app.operations.catalog.publish_proposal import MayNotPublish, publish_proposal
from sessions_app.operations.catalog.save_document import save_document
from sessions_app.operations.catalog.save_draft import save_draft
from tests.support.world.acts import at_once, change, intact, last, policy
from tests.support.world.proposals import WIDER, administrators, delegate, propose, web_work
from tests.support.world.world import SETUP


def publish(world, proposal, who=None, **more):
    return publish_proposal(proposal_id=proposal.pk, actor=who or world.bob, now=world.now, **more)


@pytest.mark.parametrize("who", ["admin", "bob"])
@pytest.mark.parametrize("kind", WIDER)
def test_another_administrator_makes_it_the_document(world, kind, who):
    delegate(world)
    name = WIDER[kind].name
    proposal, before = propose(world, kind), state_of(kind, name)
    plan = publish(world, proposal, getattr(world, who))
    assert [change.name for change in plan.changes] == [name]
    assert state_of(kind, name) != before
    entry = last("proposal.published", name)
    assert (entry.actor, entry.data["proposed_by"]) == (who, "dora")
    assert Notice.objects.get(event="proposal.published").identity == world.dora
    assert intact()


def test_its_proposer_publishes_it_by_no_account(world):
    delegate(world)
    proposal = propose(world)
    twin = create_identity(
        username="dora2", name="Dora", actor=SETUP, now=world.now, email="dora@example.com", is_superuser=True
    )
    for who in (world.dora, twin):
        with pytest.raises(MayNotPublish, match="your own proposal"):
            publish(world, proposal, who)


@pytest.mark.parametrize("who", ["alice", "charlie", "robot"])
def test_others_are_told_that_there_is_none(world, who):
    delegate(world)
    with pytest.raises(NotFound):
        publish(world, propose(world), getattr(world, who))


def test_it_is_void_when_the_document_changed_or_after_a_week(world):
    delegate(world)
    proposal = propose(world)
    with pytest.raises(ProposalOver, match="expired"):
        publish_proposal(proposal_id=proposal.pk, actor=world.bob, now=proposal.lapses_at)
    change(world, {"policies/web-work.yaml": web_work(world, summary="Changed meanwhile")})
    with pytest.raises(ProposalOver, match="expired"):
        publish(world, proposal)


def test_it_is_void_when_its_proposer_no_longer_administers_the_document(world):
    delegate(world)
    proposal = propose(world, "command-sets")
    change(world, policy(world, **administrators("bob")))
    with pytest.raises(ProposalOver, match="Only administrators of the"):
        publish(world, proposal)


def test_it_is_void_when_its_proposer_is_disabled(world):
    delegate(world)
    proposal = propose(world)
    world.dora.is_active = False
    world.dora.save()
    with pytest.raises(ProposalOver, match="Dora is disabled"):
        publish(world, proposal)


def test_grants_that_were_not_shown_do_not_end(world):
    delegate(world)
    grant = world.grant()
    source = web_work(world, max_duration="30m", approvals="none")
    proposal = save_document(kind="policies", source=source, actor=world.dora, now=world.now).proposal
    assert publish(world, proposal, plan_only=True).ends == (grant.ref,)
    with pytest.raises(MoreWouldEnd):
        publish(world, proposal, told=[])
    assert publish(world, proposal, told=[grant.ref]).ends == (grant.ref,)


def test_a_command_set_keeps_the_accepted_warnings_and_who_published_it(world):
    delegate(world)
    source = world.catalog["command-sets/restart-web.yaml"].replace("echo stop {unit}", "curl {unit}")
    draft = save_draft(source=source, actor=world.dora, now=world.now)
    accepted = {key_of(finding): "An inner address" for finding in draft.findings}
    publish_command_set(version_id=draft.pk, actor=world.dora, accepted=accepted, now=world.now)
    publish(world, Proposal.objects.get())
    published = CommandSet.objects.get(name="restart-web").published
    assert (published.accepted, published.published_by, published.number) == (accepted, world.bob, 2)


def test_published_by_two_at_once_it_is_published_once(live_world):
    delegate(live_world)
    proposal = propose(live_world)
    results = at_once(*[lambda: publish(live_world, proposal)] * 2)
    assert sum(isinstance(result, Conflict) for result in results) == 1
    assert AccessPolicy.objects.get(name="web-work").version == 3
