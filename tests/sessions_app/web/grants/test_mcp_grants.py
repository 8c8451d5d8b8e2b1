"""The page of a grant that agents use by MCP."""

from __future__ import annotations

import pytest

from sessions_app.models import CommandRun, Target
from tests.support.world.acts import session
from tests.support.world.mcp_site import add_desk, grant_unseen, token_of


@pytest.fixture
def grant(world):
    add_desk(world, 9000)
    return grant_unseen(world)


def page(client, grant):
    return client.get(f"/grants/{grant.ref}/").content.decode()


def test_the_owner_of_the_agent_sees_where_it_connects_and_gets_its_token(grant, as_alice):
    shown = page(as_alice, grant)
    assert "/mcp/desk" in shown
    assert "read_ticket {&quot;id&quot;: &quot;T-42&quot;}" in shown
    assert "No calls yet" in shown
    issued = as_alice.post(f"/grants/{grant.ref}/credential/", {"target": "desk"}).content.decode()
    assert "sgt_" in issued
    assert "mcpServers" in issued
    assert "In the client's configuration" in issued
    assert "sgt_" not in page(as_alice, grant)


def test_others_see_what_it_allows_and_get_no_token(grant, as_bob):
    shown = page(as_bob, grant)
    assert "What it allows" in shown
    assert "MCP server" not in shown
    assert as_bob.post(f"/grants/{grant.ref}/credential/", {"target": "desk"}).status_code == 404


def test_calls_are_shown_without_an_exit_status_that_tools_do_not_have(grant, as_alice, world):
    from broker.kernel.crypto import token_digest
    from sessions_app.operations.sessions.authorize_use import authorize_use, only
    from sessions_app.operations.sessions.finish_run import finish_run
    from sessions_app.operations.sessions.proofs.token import ByToken
    from sessions_app.operations.sessions.try_call import try_call
    from sessions_app.policy.commands.mcp.decide import decided

    use = only(authorize_use(by=ByToken(token_digest(token_of(grant, world)), "desk")))
    opened = session(use, now=world.now, gateway="mcp-1")
    tried = try_call(
        use=use, session_id=opened, call=decided(use.compiled, "read_ticket", {"id": "T-42"}), now=world.now
    )
    finish_run(run_id=tried.run_id, state="done", now=world.now)
    shown = page(as_alice, grant)
    assert CommandRun.objects.get().state == "done"
    assert "exit None" not in shown
    assert "read_ticket" in shown


def test_the_cluster_page_says_what_its_server_and_its_clients_need(grant, browser):
    shown = browser("admin").get("/clusters/desk/").content.decode()
    assert "agent that can call it directly needs no grant" in shown
    assert "${TOKEN}" in shown
    assert Target.objects.filter(name="desk").exists()
