"""The state of documents, which proposals and editors are based on."""

import pytest
from django.db import IntegrityError, InternalError, transaction

from sessions_app.models import Proposal
from sessions_app.operations.catalog.document_state import state_of
from sessions_app.operations.catalog.save_draft import save_draft
from sessions_app.operations.catalog.withdraw_proposal import withdraw_proposal
from tests.support.world.proposals import delegate, propose


def test_a_draft_is_part_of_the_state_of_a_command_set(world):
    before = state_of("command-sets", "restart-web")
    source = world.catalog["command-sets/restart-web.yaml"].replace("echo stop", "echo halt")
    save_draft(source=source, actor=world.admin, now=world.now)
    assert state_of("command-sets", "restart-web") != before
    assert state_of("command-sets", "nowhere") == ""


@pytest.mark.parametrize(
    "change", [{"source": "x"}, {"wider": []}, {"proposed_by": None}, {"state": "pending"}], ids=str
)
def test_the_database_keeps_what_was_proposed_and_how_it_was_settled(world, change):
    delegate(world)
    proposal = propose(world)
    if "state" in change:
        withdraw_proposal(proposal_id=proposal.pk, actor=world.dora, now=world.now)
    with pytest.raises((IntegrityError, InternalError)), transaction.atomic():
        Proposal.objects.filter(pk=proposal.pk).update(**change)
