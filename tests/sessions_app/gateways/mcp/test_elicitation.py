"""A held call brings the person of a client that can open pages to the page of the call, with the SDK."""

import asyncio

import mcp_types as types
import pytest
from django.db import connection

from sessions_app.models import CommandRun
from sessions_app.operations.requests.decide_request import MayNotDecide
from sessions_app.operations.sessions.decide_hold import decide_hold
from tests.support.servers.mcp_client import client_of

CLOSE = ("close_ticket", {"id": "T-42"})


def play(endpoint, raw, open_page, mode="2026-07-28"):
    """Call a held tool; return the answer and the pages that the client was asked to open."""
    opened: list[str] = []

    def opening():
        try:
            return open_page()
        finally:
            connection.close()

    async def elicited(_context, params):
        opened.append(params.url)
        return types.ElicitResult(action=await asyncio.to_thread(opening))

    async def called():
        async with client_of(endpoint.url, raw.token, mode=mode, elicitation_callback=elicited) as client:
            return await client.call_tool(*CLOSE)

    return asyncio.run(called()), opened


def test_its_person_opens_the_page_and_once_an_approver_has_allowed_it_the_call_is_made(endpoint):
    grant, raw = endpoint.client()

    def approve():
        run = CommandRun.objects.filter(grant=grant).latest("pk")
        decide_hold(run_id=run.pk, actor=endpoint.world.bob, allow=True, now=run.tried_at)
        return "accept"

    result, opened = play(endpoint, raw, approve)
    run = CommandRun.objects.get(grant=grant)
    assert opened == [f"{endpoint.env['STINT_PUBLIC_URL']}/grants/{grant.ref}/#run-{run.pk}"]
    assert (result.content[0].text, run.state) == ("T-42 is closed", "done")


def test_its_own_person_can_open_the_page_and_not_approve_and_the_call_waits(endpoint):
    grant, raw = endpoint.client()

    def try_to_approve():
        run = CommandRun.objects.filter(grant=grant).latest("pk")
        with pytest.raises(MayNotDecide):
            decide_hold(run_id=run.pk, actor=grant.holder.owner, allow=True, now=run.tried_at)
        return "accept"

    result, opened = play(endpoint, raw, try_to_approve)
    assert len(opened) == 1
    assert (result.is_error, result.structured_content["error"]) == (True, "held")
    assert CommandRun.objects.get(grant=grant).state == "held"


def test_a_client_of_the_older_version_gets_the_address_in_the_answer(endpoint):
    _, raw = endpoint.client()
    result, opened = play(endpoint, raw, lambda: "accept", mode="legacy")
    assert opened == []
    assert result.structured_content["approve_url"].endswith(f"#run-{result.structured_content['run']}")
