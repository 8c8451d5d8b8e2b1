"""What the connector learns from real MCP servers of both eras, and from servers that misbehave."""

import asyncio
import json
from dataclasses import replace
from types import SimpleNamespace

import pytest

from sessions_app.connectors.base import ConnectorError, GrantSpec
from sessions_app.connectors.mcp import wire
from sessions_app.connectors.mcp.parameters import MCPParameters
from sessions_app.connectors.mcp.reach import conversation_with
from sessions_app.connectors.mcp.upstream import name_for_tls
from sessions_app.policy.commands.kinds import compile_open, parse_text
from tests.sessions_app.connectors.mcp.conftest import place_at
from tests.support.servers.answering import answering
from tests.support.servers.mcp_desk import DESK_TOKEN, desk

SET = """
name: agent-ticket
kind: mcp
summary: x
risk: low
commands:
  - {tool: read_ticket, arguments: {id: T-42}, effect: read}
  - {tool: no_such_tool, effect: read}
"""


def spec(place, now, made=None):
    commands = compile_open(parse_text(SET))
    return GrantSpec(
        grant_ref="GR-1",
        mark="0" * 32,
        holder="robot",
        place=place,
        commands=commands,
        expires_at=now,
        made=made or {},
    )


@pytest.mark.parametrize("legacy", [False, True])
def test_the_definitions_of_the_tools_of_a_grant_are_kept_and_not_looked_at_again(connector, legacy):
    from datetime import UTC, datetime

    with desk(legacy=legacy) as running:
        place = place_at(running.port)
        made = connector.provision(spec(place, datetime.now(UTC))).made
        assert list(made["tools"]) == ["read_ticket"]
        running.redefine("read_ticket", "Read every ticket.")
        assert connector.provision(spec(place, datetime.now(UTC), made)).made == made
        assert connector.provision(spec(place, datetime.now(UTC))).made != made
        assert {one.get("authorization") for one in running.requests} == {f"Bearer {DESK_TOKEN}"}


@pytest.mark.parametrize(("legacy", "version"), [(False, "2026-07-28"), (True, "2025-11-25")])
def test_the_era_of_a_server_is_found_out(legacy, version):
    async def play(place):
        talk = conversation_with(place)
        await talk.begin()
        tools = await talk.tools()
        await talk.close()
        return talk, tools

    with desk(legacy=legacy) as running:
        talk, tools = asyncio.run(play(place_at(running.port)))
    assert (talk.version, talk.server) == (version, "desk")
    assert "read_ticket" in tools


def test_a_check_says_which_tools_of_command_sets_are_missing(connector, place):
    assert all(step.ok for step in connector.check(place))
    (step,) = connector.check_commands(place, [compile_open(parse_text(SET))])
    assert not step.ok
    assert "no_such_tool" in step.detail


NOTES = """
name: notes
kind: mcp
summary: x
risk: low
commands:
  - {resource: "mail://inbox/latest"}
  - {resource: "ticket://T-7/text"}
  - {resource: "ticket://T-7/history"}
  - {prompt: summarize, arguments: {id: T-42}}
  - {prompt: translate}
"""


def test_a_check_says_which_prompts_and_resources_of_command_sets_are_missing(connector, place):
    prompts, resources = connector.check_commands(place, [compile_open(parse_text(NOTES))])
    assert (prompts.name, prompts.ok, prompts.detail) == ("prompts of notes", False, "not found: translate")
    # A server can have more resources than it lists.
    assert (resources.ok, resources.detail) == (True, "not listed: ticket://T-7/history")
    assert "unless the server has them" in resources.fix


def test_a_server_without_resources_lacks_those_of_command_sets(connector, odd):
    odd.said = GOOD % b'[],"resources":[],"resourceTemplates":[],"prompts":[]'
    _, resources = connector.check_commands(place_at(odd.port), [compile_open(parse_text(NOTES))])
    assert not resources.ok
    assert "mail://inbox/latest" in resources.detail


def test_a_check_says_that_a_list_which_command_sets_need_is_invalid(connector, odd):
    odd.said = GOOD % b'[],"prompts":7'
    (step,) = connector.check_commands(place_at(odd.port), [compile_open(parse_text(NOTES))])
    assert not step.ok
    assert "does not list its prompts" in step.detail


def test_a_wrong_token_and_an_open_entry_point_are_told_apart(connector, server):
    steps = connector.check(place_at(server.port, token="wrong"))
    assert not steps[-1].ok
    assert "rejects Stint's token" in steps[-1].detail
    with desk(token="") as open_desk:
        steps = connector.check(place_at(open_desk.port, token=None))
    assert all(step.ok for step in steps)
    assert any("responds without a token" in step.detail and step.fix for step in steps)


def test_the_token_is_in_no_message(connector, server):
    shown = [repr(MCPParameters(token="canary-123")), repr(place_at(server.port, token="canary-123"))]
    shown += [step.detail + step.fix for step in connector.check(place_at(server.port, token="canary-123"))]
    assert "canary" not in "".join(shown)


@pytest.fixture
def odd():
    """A server that answers everything with what the test says."""
    odd = SimpleNamespace(said=b"", kind="application/json")

    def answer(asked):
        body = odd.said.replace(b"ID", str(json.loads(asked.body).get("id")).encode())
        return 200, {"Content-Type": odd.kind}, body

    with answering(answer) as odd.port:
        yield odd


GOOD = b'{"jsonrpc":"2.0","id":ID,"result":{"supportedVersions":["2026-07-28"],"tools":%s}}'


@pytest.mark.parametrize(
    ("said", "kind", "why"),
    [
        (b"hello", "text/html", "does not support MCP"),
        (b"{", "application/json", "sent invalid JSON"),
        (b"[]", "application/json", "did not send a single JSON-RPC message"),
        (
            b'{"jsonrpc":"2.0","id":7,"result":{}}',
            "application/json",
            "responded with an id that is not the request's",
        ),
        (b"data: x\n\n", "text/event-stream", "sent invalid JSON"),
        (b": nothing\n\n", "text/event-stream", "without a response"),
        (GOOD % b'[{"name":"a"},{"name":"a"}]', "application/json", "twice"),
        (GOOD % b'[{"name":7}]', "application/json", "without a name"),
        (GOOD % b'"x"', "application/json", "does not list its tools"),
        (GOOD % b'[],"nextCursor":"ID"', "application/json", "endless list of tools"),
        (b"x" * 5_000_000, "application/json", "response that is too large"),
    ],
)
def test_a_server_that_misbehaves_is_an_error_in_words(connector, odd, said, kind, why):
    odd.said, odd.kind = said, kind
    steps = connector.check(place_at(odd.port))
    assert not steps[-1].ok
    assert why in steps[-1].detail


@pytest.mark.parametrize(
    ("said", "name"),
    [
        ("mcp.example", "mcp.example"),
        ("mcp.example:8443", "mcp.example"),
        ("192.0.2.7", "192.0.2.7"),
        ("192.0.2.7:8443", "192.0.2.7"),
        ("2001:db8::7", "2001:db8::7"),
        ("[2001:db8::7]", "2001:db8::7"),
        ("[2001:db8::7]:8443", "2001:db8::7"),
    ],
)
def test_a_server_is_recognized_by_its_name_or_address_without_port_and_brackets(said, name):
    assert name_for_tls(said) == name


def test_a_value_survives_its_header_whatever_it_holds():
    for value in ("T-42", "", " x", "é", "a\nb", "=?base64?eA==?=", "x y", "\u202e"):
        said = wire.header_value(value)
        assert said.isascii()
        assert "\n" not in said
        assert wire.value_in_header(said) == value
    assert wire.value_in_header("=?base64?!?=") is None
    assert wire.value_in_header("é") is None


def test_headers_that_a_schema_asks_for_are_made_from_the_arguments():
    schema = {
        "properties": {
            "region": {"type": "string", "x-mcp-header": "Region"},
            "deep": {
                "properties": {"n": {"type": "integer", "x-mcp-header": "N"}, "b": {"x-mcp-header": "B"}}
            },
            "bad": {"x-mcp-header": "a: b"},
        }
    }
    arguments = {"region": "eü", "deep": {"n": 7, "b": True}, "bad": "x"}
    assert wire.parameter_headers(schema, arguments) == {
        "Mcp-Param-Region": wire.header_value("eü"),
        "Mcp-Param-N": "7",
        "Mcp-Param-B": "true",
    }
    assert wire.parameter_headers(None, {}) == {}


def test_events_are_read_however_they_are_cut():
    text = b'event: message\r\ndata: {"a":\ndata: 1}\r\n\r\n: ping\n\ndata: 2\r\rid: 4\n\n'
    for size in range(1, len(text)):
        reader = wire.Events(most=1000)
        found = [data for at in range(0, len(text), size) for data in reader.feed(text[at : at + size])]
        assert found == [b'{"a":\n1}', b"2"]
    with pytest.raises(wire.BadMessage):
        wire.Events(most=10).feed(b"data: " + b"x" * 20)


def test_a_definition_is_another_one_when_what_a_model_is_told_changes():
    tool = {
        "name": "a",
        "description": "b",
        "inputSchema": {"type": "object", "properties": {"x": {}, "y": {}}},
    }
    same = {
        "inputSchema": {"properties": {"y": {}, "x": {}}, "type": "object"},
        "description": "b",
        "name": "a",
        "icons": [],
    }
    assert wire.digest_of(tool) == wire.digest_of(same)
    for change in (
        {"description": "c"},
        {"inputSchema": {"type": "object"}},
        {"name": "A"},
        {"title": "c"},
        {"outputSchema": {"description": "c"}},
        {"annotations": {"readOnlyHint": True}},
    ):
        assert wire.digest_of({**tool, **change}) != wire.digest_of(tool)


def test_what_is_not_for_mcp_is_never_provisioned(connector, place):
    from datetime import UTC, datetime

    commands = compile_open(parse_text("{name: x, kind: ssh, summary: x, risk: low, commands: []}"))
    wrong = replace(spec(place, datetime.now(UTC)), commands=commands)
    with pytest.raises(ConnectorError) as caught:
        connector.provision(wrong)
    assert caught.value.permanent


def test_an_answer_to_something_else_is_none_for_who_takes_the_first_one(odd):
    import asyncio

    from sessions_app.connectors.mcp.reach import conversation_with

    async def first():
        return await anext(conversation_with(place_at(odd.port)).call("tools/call", {"name": "a"}))

    odd.said = b'{"jsonrpc":"2.0","id":7,"result":{"content":[]}}'
    with pytest.raises(ConnectorError, match="responded with an id that is not the request's"):
        asyncio.run(first())
