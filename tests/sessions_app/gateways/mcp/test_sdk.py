"""The real client of the SDK on one side and its real server on the other, in each pair of protocol
versions.
"""

import asyncio

import pytest

from sessions_app.models import CommandRun
from tests.support.servers.mcp_client import MODES, client_of


@pytest.fixture(scope="module", params=[False, True], ids=["server-of-2026", "server-of-2025"])
def legacy_server(request) -> bool:
    return request.param


@pytest.fixture(scope="module")
def pair(endpoint):
    return endpoint.client()


@pytest.mark.parametrize("mode", [*MODES, "auto"])
def test_a_client_lists_calls_and_is_refused(endpoint, pair, mode):
    grant, raw = pair

    async def play():
        async with client_of(endpoint.url, raw.token, mode=mode) as client:
            listed = await client.list_tools()
            read = await client.call_tool("read_ticket", {"id": "T-42"})
            kept = await client.call_tool("save_summary", {"id": "T-42", "text": "A broken link."})
            beside = await client.call_tool("read_ticket", {"id": "T-41"})
            export = await client.call_tool("export_attachments", {"id": "T-42"})
            return listed, read, kept, beside, export

    listed, read, kept, beside, export = asyncio.run(play())
    assert [tool.name for tool in listed.tools][:2] == ["close_ticket", "fail_ticket"]
    assert (read.content[0].text, read.is_error) == ("The link is broken", False)
    assert kept.content[0].text == "kept: A broken link."
    assert beside.is_error
    assert export.is_error
    assert export.structured_content["grant"] == grant.ref
    refused = CommandRun.objects.filter(grant=grant, state="refused").order_by("-pk")[:2]
    assert [run.line for run in refused] == ['export_attachments {"id":"T-42"}', 'read_ticket {"id":"T-41"}']


@pytest.mark.parametrize("mode", MODES)
def test_progress_of_a_call_is_passed_on_as_it_comes(endpoint, pair, mode):
    _, raw = pair
    endpoint.desk.go.clear()
    heard = []

    async def play():
        async def progress(done, total, message):
            heard.append((done, total, message))
            endpoint.desk.go.set()

        async with client_of(endpoint.url, raw.token, mode=mode) as client:
            return await client.call_tool("watch_ticket", {"id": "T-42"}, progress_callback=progress)

    # The tool ends only once its progress has arrived.
    result = asyncio.run(asyncio.wait_for(play(), 60))
    assert heard == [(1.0, 2.0, "watching")]
    assert result.content[0].text == "T-42 has a secret answer"
