"""The page of a grant that agents use by MCP."""

import pytest

from tests.support.world.budget_site import Holder, budget_files
from tests.support.world.mcp_site import add_desk, grant_unseen
from tests.support.world.reading import read, says


@pytest.fixture
def grant(world):
    add_desk(world, 9000)
    return grant_unseen(world)


def page(client, grant):
    return read(client, f"/grants/{grant.ref}/")


def test_the_owner_of_the_agent_sees_where_it_connects_and_gets_its_token(grant, as_alice):
    shown = page(as_alice, grant)
    says(shown, "/mcp/desk", "read_ticket {&quot;id&quot;: &quot;T-42&quot;}", "No calls yet")
    issued = as_alice.post(f"/grants/{grant.ref}/credential/", {"target": "desk"}).content.decode()
    says(issued, "sgt_", "mcpServers", "In the client's configuration")
    assert "sgt_" not in page(as_alice, grant)


def test_others_see_what_it_allows_and_get_no_token(grant, as_bob):
    shown = page(as_bob, grant)
    assert "What it allows" in shown
    assert "MCP server" not in shown
    assert as_bob.post(f"/grants/{grant.ref}/credential/", {"target": "desk"}).status_code == 404


def test_the_page_shows_what_is_used_and_a_call_beyond_it_can_only_be_allowed_once(world, as_bob):
    add_desk(world, 9000, budget_files({"calls": 1}))
    holder = Holder(world)
    holder.spend(1)
    says(page(as_bob, holder.grant), "Budget", "1 of 1 call used: nothing is left")
    holder.spend(2)
    shown = page(as_bob, holder.grant)
    says(shown, "held because it exceeds the budget", "Allow once")
    assert "Allow for this grant" not in shown
