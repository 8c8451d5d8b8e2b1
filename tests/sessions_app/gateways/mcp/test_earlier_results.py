"""Calls that depend on earlier results, through the gateway, with the client and the server of the SDK."""

import asyncio

import pytest

from sessions_app.models import CommandRun
from tests.support.servers.mcp_client import MODES, client_of
from tests.support.servers.mcp_place import mcp_place
from tests.support.world.mcp_site import mail_files, token_of


@pytest.fixture(scope="module")
def endpoint(processes, django_db_setup, django_db_blocker, tmp_path_factory):
    with mcp_place(django_db_blocker, tmp_path_factory.mktemp("mcp"), files=mail_files()) as running:
        yield running


def play(endpoint, token, *calls, mode="auto"):
    """Make calls one after another; return what each said."""

    async def made():
        async with client_of(endpoint.url, token, mode=mode) as client:
            return [await client.call_tool(name, arguments) for name, arguments in calls]

    return [
        found.structured_content.get("code") or found.structured_content.get("error") or "made"
        for found in asyncio.run(made())
    ]


MAIL = ("send_mail", {"to": "eve@shop", "text": "hi"})
SUMMARY = ("save_summary", {"id": "T-42", "text": "hi"})
LOOK_UP = ("look_up", {"id": "T-42"})
READ = ("read_ticket", {"id": "T-42"})


@pytest.mark.parametrize("mode", MODES)
def test_an_answer_goes_to_the_address_that_the_ticket_has_and_to_no_other_without_a_person(endpoint, mode):
    grant, raw = endpoint.client(command_set="desk-mail", parameters={})
    assert play(endpoint, raw.token, SUMMARY, LOOK_UP, MAIL, SUMMARY, mode=mode) == [
        "from_result",
        "made",
        "made",
        "made",
    ]
    elsewhere = ("send_mail", {"to": "mallory@evil", "text": "hi"})
    assert play(endpoint, raw.token, elsewhere, mode=mode) == ["held"]
    assert ("send_mail", "mallory@evil") not in endpoint.desk.calls
    assert "is not from an earlier result" in CommandRun.objects.filter(grant=grant).latest("pk").notes


def test_what_was_returned_and_what_was_untrusted_outlive_the_gateway_and_the_token(endpoint):
    grant, raw = endpoint.client(command_set="desk-mail", parameters={})
    assert play(endpoint, raw.token, LOOK_UP) == ["made"]
    endpoint.stop()
    endpoint.start()
    assert play(endpoint, raw.token, MAIL, READ) == ["made", "made"]
    endpoint.stop()
    endpoint.start()
    again = token_of(grant, endpoint.world)
    assert play(endpoint, again, MAIL, SUMMARY, LOOK_UP) == ["held", "untrusted", "made"]


def test_of_many_calls_at_once_none_is_made_after_an_untrusted_result(endpoint):
    grant, raw = endpoint.client(command_set="desk-mail", parameters={})
    play(endpoint, raw.token, LOOK_UP)

    async def made():
        async with client_of(endpoint.url, raw.token) as client:
            calls = [client.call_tool(*(READ if at == 4 else MAIL)) for at in range(12)]
            return await asyncio.gather(*calls)

    asyncio.run(made())
    untrusted = CommandRun.objects.get(grant=grant, untrusted=True)
    after = CommandRun.objects.filter(grant=grant, pk__gt=untrusted.pk)
    assert not after.exclude(state="held").exists()
    assert play(endpoint, raw.token, MAIL) == ["held"]
