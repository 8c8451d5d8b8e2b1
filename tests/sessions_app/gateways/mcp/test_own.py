"""Stint as an MCP server: agents request access, look it up, end their own, and decide nothing."""

import asyncio
import datetime as dt

import pytest

from accounts.models import Identity
from accounts.operations.create_token import create_token
from sessions_app.models import AccessRequest, Grant
from tests.support.servers.mcp_client import MODES, client_of
from tests.support.servers.mcp_place import now
from tests.support.world.mcp_site import Raw


def token(endpoint, who, *scopes):
    return create_token(
        identity_id=who.pk,
        label="agent",
        scopes=scopes or ("read", "request", "end"),
        lifetime=dt.timedelta(days=1),
        actor=who.owner or who,
        now=now(),
    )[1]


def use(endpoint, text, name, arguments=None, mode="auto"):
    async def play():
        async with client_of(endpoint.own, text, mode=mode) as client:
            return await client.call_tool(name, arguments or {})

    return asyncio.run(play())


ASK = {
    "cluster": "desk",
    "command_set": "agent-ticket",
    "duration": 3600,
    "reason": "x",
    "parameters": {"ticket": "T-42"},
}


@pytest.mark.parametrize("mode", MODES)
def test_an_agent_asks_looks_and_ends_what_it_holds(endpoint, mode):
    text = token(endpoint, endpoint.world.robot)
    asked = use(endpoint, text, "request_access", ASK, mode).structured_content
    assert asked["state"] == "pending"
    status = use(endpoint, text, "request_status", {"request": asked["request"]}, mode).structured_content
    assert status == asked
    grant = endpoint.grant()
    held = use(endpoint, text, "my_grants", mode=mode).structured_content["grants"]
    (found,) = [one for one in held if one["grant"] == grant.ref]
    assert found["mcp_url"] == endpoint.url
    assert 'read_ticket {"id": "T-42"}' in found["allows"]
    ended = use(endpoint, text, "end_my_grant", {"grant": grant.ref, "note": "done"}, mode)
    assert not ended.is_error
    assert Grant.objects.get(pk=grant.pk).end_reason == "released"


def test_what_may_be_asked_for_is_told_for_one_command_as_well(endpoint):
    text = token(endpoint, endpoint.world.robot)
    found = use(endpoint, text, "what_may_i_do", {"line": 'read_ticket {"id": "T-7"}'}).structured_content[
        "may_ask_for"
    ]
    assert [(one["command_set"], one["parameters"]) for one in found] == [("agent-ticket", {"ticket": "T-7"})]
    assert use(endpoint, text, "what_may_i_do", {"line": "rm -rf /"}).structured_content == {
        "may_ask_for": []
    }


def test_no_tool_approves_and_none_gives_a_secret(endpoint):
    listed = (
        Raw(endpoint.own, token(endpoint, endpoint.world.robot)).modern("tools/list").json["result"]["tools"]
    )
    assert [tool["name"] for tool in listed] == [
        "end_my_grant",
        "my_grants",
        "request_access",
        "request_status",
        "what_may_i_do",
    ]


def test_others_requests_and_grants_are_not_there(endpoint):
    grant = endpoint.grant(who=endpoint.world.alice)
    text = token(endpoint, endpoint.world.charlie)
    request = AccessRequest.objects.get(pk=grant.request_id)
    for name, arguments in (
        ("request_status", {"request": request.ref}),
        ("end_my_grant", {"grant": grant.ref}),
    ):
        other = use(endpoint, text, name, arguments)
        never = use(
            endpoint,
            text,
            name,
            {next(iter(arguments)): "REQ-999999" if "request" in arguments else "GR-ZZZZ"},
        )
        assert other.is_error
        assert other.content[0].text == never.content[0].text
    # A person who could end it on its page can't end it here, because it is someone else's.
    assert use(endpoint, token(endpoint, endpoint.world.bob), "end_my_grant", {"grant": grant.ref}).is_error
    assert Grant.objects.get(pk=grant.pk).state == "active"


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("request_access", {}),
        ("request_access", {**ASK, "state": "approved"}),
        ("request_access", {**ASK, "duration": "3600"}),
        ("request_access", {**ASK, "duration": 10**12}),
        ("request_access", {**ASK, "cluster": "no-such"}),
        ("request_access", {**ASK, "parameters": {"ticket": "*"}}),
        ("request_status", {"request": "REQ-1 OR 1"}),
        ("end_my_grant", {"grant": "x"}),
        ("what_may_i_do", {"line": ["x"]}),
        ("my_grants", {"all": True}),
    ],
)
def test_arguments_that_do_not_fit_are_said_and_change_nothing(endpoint, name, arguments):
    before = AccessRequest.objects.count()
    found = Raw(endpoint.own, token(endpoint, endpoint.world.robot)).call(name, arguments).json["result"]
    assert found["isError"]
    assert found["structuredContent"]["reason"]
    assert AccessRequest.objects.count() == before


def test_a_token_does_what_its_scopes_say_and_no_more(endpoint):
    reader = Raw(endpoint.own, token(endpoint, endpoint.world.robot, "read"))
    names = [tool["name"] for tool in reader.modern("tools/list").json["result"]["tools"]]
    assert names == ["my_grants", "request_status", "what_may_i_do"]
    answer = reader.call("request_access", ASK)
    assert answer.status == 403
    assert 'error="insufficient_scope", scope="request"' in answer.headers["www-authenticate"]
    assert Raw(endpoint.own, token(endpoint, endpoint.world.bob, "decide")).modern("tools/list").status == 403


def test_a_disabled_identity_gets_nothing(endpoint):
    raw = Raw(endpoint.own, token(endpoint, endpoint.world.deployer))
    assert raw.modern("tools/list").status == 200
    Identity.objects.filter(pk=endpoint.world.deployer.pk).update(is_active=False)
    assert raw.modern("tools/list").status == 401
    Identity.objects.filter(pk=endpoint.world.deployer.pk).update(is_active=True)
