"""Proposals in the pages: what widens is announced, shown with its difference, and decided by
someone else.
"""

import pytest

from sessions_app.models import Proposal, ProposalState
from sessions_app.operations.catalog.save_document import save_document
from sessions_app.operations.catalog.save_draft import save_draft
from tests.support.world.proposals import WIDER, delegate, propose, web_work
from tests.support.world.reading import read, says


def test_the_editor_says_that_another_administrator_must_publish_it(world, browser):
    delegate(world)
    dora, source = browser("dora"), WIDER["policies"].source(world)
    page = dora.post("/policies/web-work/edit/", {"act": "look", "source": source}).content.decode()
    says(page, "so another administrator must publish it", ">Propose</button>")
    assert not Proposal.objects.exists()
    answer = dora.post("/policies/web-work/edit/", {"act": "save", "source": source}, follow=True)
    page = answer.content.decode()
    says(page, "web-work is unchanged. Your change may widen its requesters, approvals", ">Withdraw</button>")


def test_the_editor_of_a_command_set_proposes_what_may_allow_more(world, browser):
    delegate(world)
    draft = save_draft(source=WIDER["command-sets"].source(world), actor=world.dora, now=world.now)
    dora = browser("dora")
    assert f"Propose v{draft.number}" in read(dora, "/command-sets/restart-web/edit/")
    page = dora.post(
        "/command-sets/restart-web/publish/", {"version": draft.pk}, follow=True
    ).content.decode()
    says(page, "so another administrator must publish it. Administrators were notified.", "httpd")


@pytest.mark.parametrize("kind", WIDER)
def test_the_documents_page_shows_the_difference_to_those_who_decide_it(world, browser, kind):
    delegate(world)
    proposal = propose(world, kind)
    address = f"/{kind}/{WIDER[kind].name}/"
    says(read(browser("bob"), address), '<span\nclass="ins">', f'action="/proposals/{proposal.pk}/publish/"')
    assert f"/proposals/{proposal.pk}/" not in read(browser("alice"), address)
    assert browser("bob").post(f"/proposals/{proposal.pk}/publish/")["Location"] == address
    assert "Proposed change" not in read(browser("bob"), address)


def test_one_refuses_with_a_comment_and_the_proposer_withdraws(world, browser):
    delegate(world)
    proposal = propose(world)
    assert browser("dora").post(f"/proposals/{proposal.pk}/publish/").status_code == 403
    browser("bob").post(f"/proposals/{proposal.pk}/refuse/", {"comment": "Two must approve."})
    proposal.refresh_from_db()
    assert (proposal.state, proposal.comment) == (ProposalState.REFUSED, "Two must approve.")
    again = propose(world)
    browser("dora").post(f"/proposals/{again.pk}/withdraw/")
    again.refresh_from_db()
    assert again.state == ProposalState.WITHDRAWN


def test_grants_that_end_are_shown_before_they_do(world, browser):
    delegate(world)
    grant, bob = world.grant(), browser("bob")
    source = web_work(world, max_duration="30m", approvals="none")
    proposal = save_document(kind="policies", source=source, actor=world.dora, now=world.now).proposal
    page = bob.post(f"/proposals/{proposal.pk}/publish/").content.decode()
    assert "Publish and end 1 grant" in page
    assert grant.ref in page
    bob.post(f"/proposals/{proposal.pk}/publish/", {"told": grant.ref})
    proposal.refresh_from_db()
    assert proposal.state == ProposalState.PUBLISHED
