"""The ticket agent: one ticket, read, summarized and closed over MCP; no other ticket; and nothing once the
ticket is closed.
"""

import asyncio
import datetime as dt

import pytest
from asgiref.sync import sync_to_async
from django.db import connection

from accounts.operations.create_token import create_token
from sessions_app.models import AccessRequest, CommandRun, EndReason, Grant, Session
from sessions_app.operations.grants.deprovision_grant import deprovision_grant
from sessions_app.operations.grants.issue_credential import issue_credential
from sessions_app.operations.grants.prepare_grant import prepare_grant
from sessions_app.operations.grants.provision_grant import provision_grant
from sessions_app.operations.workflows.close_workflow import close_workflow
from tests.support.servers.mcp_client import client_of
from tests.support.servers.mcp_place import mcp_place, now
from tests.support.waits import eventually
from tests.support.world.mcp_site import Raw

FILES = {
    "command-sets/agent-ticket.yaml": """
name: agent-ticket
kind: mcp
summary: Read one ticket, summarize it and close it
risk: medium
parameters:
  ticket: {from: workflow.id}
commands:
  - tool: read_ticket
    arguments: {id: "{ticket}"}
    effect: read
  - tool: save_summary
    arguments: {id: "{ticket}", text: {schema: {type: string, minLength: 1, maxLength: 500}}}
    effect: change
  - tool: close_ticket
    arguments: {id: "{ticket}"}
    effect: change
  - deny: "export_*"
examples:
  allow: ['read_ticket {"id": "TKT-1"}']
  refuse: ['export_attachments {"id": "TKT-1"}']
""",
    "policies/desk-work.yaml": """
name: desk-work
summary: An agent works on one ticket
clusters: [desk]
command_sets: [agent-ticket]
requesters: {groups: [operators]}
approvals:
  - {count: 1, from: [approvers]}
max_duration: 4h
workflow: {kinds: [ticket]}
""",
}


@pytest.fixture
def place(processes, django_db_setup, django_db_blocker, tmp_path):
    with mcp_place(django_db_blocker, tmp_path, files=FILES) as running:
        yield running


def worker(grant):
    """Do what the worker does when a grant is due."""
    provision_grant(grant_id=grant.pk, now=now())
    return prepare_grant(grant_id=grant.pk, now=now)


def token_for(identity, actor):
    """Return an API token, as an agent's owner creates it."""
    made = create_token(
        identity_id=identity.pk,
        label="agent",
        scopes=["read", "request", "end"],
        lifetime=dt.timedelta(days=1),
        actor=actor,
        now=now(),
    )
    return made[1]


async def ask(place, token, ticket):
    """Let the agent request access to the ticket, and nothing wider."""
    async with client_of(place.own, token) as stint:
        offers = await stint.call_tool("what_may_i_do", {"cluster": "desk"})
        asked = await stint.call_tool(
            "request_access",
            {
                "cluster": "desk",
                "command_set": "agent-ticket",
                "duration": 3600,
                "workflow": ticket.ref,
                "reason": "Answer the customer",
            },
        )
        wider = await stint.call_tool(
            "request_access",
            {
                "cluster": "desk",
                "command_set": "agent-ticket",
                "duration": 3600,
                "workflow": ticket.ref,
                "parameters": {"ticket": "TKT-999"},
                "reason": "All of them",
            },
        )
    assert offers.structured_content["may_ask_for"][0]["command_set"] == "agent-ticket"
    assert asked.structured_content["state"] == "pending", asked
    assert wider.is_error
    return asked.structured_content["request"]


async def workflow(place, token, ticket, close):
    """Let the agent work on the ticket, try more, and be cut off during a call when the ticket is closed."""
    async with client_of(place.url, token) as client:
        assert [tool.name for tool in (await client.list_tools()).tools] == [
            "close_ticket",
            "read_ticket",
            "save_summary",
        ]
        read = await client.call_tool("read_ticket", {"id": ticket.ref})
        assert read.content[0].text == "The link is broken"
        kept = await client.call_tool("save_summary", {"id": ticket.ref, "text": "A broken link."})
        assert not kept.is_error
        beside = await client.call_tool("read_ticket", {"id": "TKT-999"})
        export = await client.call_tool("export_attachments", {"id": ticket.ref})
        assert beside.is_error
        assert export.is_error
        closed = await client.call_tool("close_ticket", {"id": ticket.ref})
        assert closed.content[0].text == f"{ticket.ref} is closed"
        async with client.listen(tools_list_changed=True) as stream:
            await sync_to_async(close)()
            heard = [type(event).__name__ async for event in stream]
    assert heard == ["ToolsListChanged"]


def test_an_agent_works_on_one_ticket_and_loses_it_when_the_ticket_is_closed(place):
    world = place.world
    ticket = world.workflow(clusters=["desk"], title="A customer can't open a link", now=now())
    place.desk.tickets = {ticket.ref: "The link is broken", "TKT-999": "A secret of another customer"}
    agent = token_for(world.robot, world.alice)

    ref = asyncio.run(ask(place, agent, ticket))
    request = AccessRequest.objects.get(number=int(ref.removeprefix("REQ-")))
    assert request.parameters == {"ticket": ticket.ref}
    world.decide(request, now=now())
    grant = worker(Grant.objects.get(request=request))
    assert (grant.state, grant.holder) == ("active", world.robot)

    credential = issue_credential(grant_id=grant.pk, actor=world.robot, target=None, now=now())
    token = credential.fields["Token"]
    assert credential.fields["MCP address"].endswith("/mcp/desk")
    here = Raw(place.url, token)

    def close():
        close_workflow(workflow_id=ticket.pk, actor=world.bob, now=now())
        # It runs in its own thread, so it must close that thread's connection.
        connection.close()

    asyncio.run(workflow(place, token, ticket, close))

    assert [call for call in place.desk.calls if call[1] != ticket.ref] == []
    assert [name for name, _ in place.desk.calls] == ["read_ticket", "save_summary", "close_ticket"]
    refused = CommandRun.objects.filter(grant=grant, state="refused").order_by("pk")
    assert [run.line.partition(" ")[0] for run in refused] == ["read_ticket", "export_attachments"]

    grant.refresh_from_db()
    assert grant.end_reason == EndReason.WORKFLOW_CLOSED
    assert here.call("read_ticket", {"id": ticket.ref}).status == 401
    eventually(lambda: not Session.objects.filter(grant=grant, closed_at__isnull=True).exists(), within=30)
    deprovision_grant(grant_id=grant.pk, now=now)
    grant.refresh_from_db()
    assert grant.state == "ended"

    async def mine():
        async with client_of(place.own, agent) as stint:
            return await stint.call_tool("my_grants", {})

    assert asyncio.run(mine()).structured_content == {"grants": []}
