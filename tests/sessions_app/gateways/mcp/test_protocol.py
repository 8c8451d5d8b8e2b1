"""Rules of the protocol that concern the server behind the gateway, or the gateway's own answers."""

import contextlib

import pytest

from sessions_app.models import CommandRun
from tests.sessions_app.gateways.mcp.test_application import hello, older, told_instead


@contextlib.contextmanager
def repeated_in_header(desk, tool: str, argument: str):
    """Have the server request a header that repeats an argument of a tool."""
    schema = desk.server._tool_manager._tools[tool].parameters["properties"][argument]
    schema["x-mcp-header"] = "Ticket"
    try:
        yield
    finally:
        del schema["x-mcp-header"]


def test_a_call_whose_header_contradicts_its_arguments_is_not_made(endpoint):
    with repeated_in_header(endpoint.desk, "read_ticket", "id"):
        grant, client = endpoint.client()
        before = list(endpoint.desk.calls)
        for wrong in (None, "T-41"):
            answer = client.call("read_ticket", {"id": "T-42"}, Mcp_Param_Ticket=wrong)
            assert (answer.status, answer.json["error"]["code"]) == (400, -32020)
        assert endpoint.desk.calls == before
        assert not CommandRun.objects.filter(grant=grant).exists()
        found = client.call("read_ticket", {"id": "T-42"}, Mcp_Param_Ticket="T-42").json["result"]
        assert not found["isError"]


def test_discovery_and_the_error_for_another_version_name_the_same_versions(endpoint):
    _, client = endpoint.client()
    discovered = client.modern("server/discover").json["result"]["supportedVersions"]
    refused = client.modern("server/discover", MCP_Protocol_Version="v999")
    assert (refused.status, refused.json["error"]["code"]) == (400, -32022)
    assert refused.json["error"]["data"] == {"supported": discovered, "requested": "v999"}
    assert {"2026-07-28", "2025-11-25"} < set(discovered)


NEEDS = {
    "code": -32021,
    "message": "Sampling is required",
    "data": {"requiredCapabilities": {"sampling": {}}},
}


def failing(endpoint, client, error, *, older_session: str = ""):
    """Return the answer to a call whose server responds with an error."""
    call = {"name": "read_ticket", "arguments": {"id": "T-42"}}
    endpoint.desk.instead = {"tools/call": error}
    try:
        if older_session:
            return older(client, older_session, "tools/call", call)
        return client.modern("tools/call", call)
    finally:
        endpoint.desk.instead = {}


def test_a_capability_that_the_client_lacks_is_named_with_the_status_of_its_version(endpoint):
    _, client = endpoint.client()
    session = hello(client).headers["mcp-session-id"]
    modern, legacy = failing(endpoint, client, NEEDS), failing(endpoint, client, NEEDS, older_session=session)
    assert (modern.status, modern.json["error"]) == (400, NEEDS)
    assert (legacy.status, legacy.json["error"]) == (200, NEEDS)


@pytest.mark.parametrize("code", [-32020, -32022])
def test_an_error_about_the_gateways_own_request_is_not_passed_on_as_the_clients(endpoint, code):
    _, client = endpoint.client()
    answer = failing(endpoint, client, {"code": code, "message": "x", "data": {"supported": ["x"]}})
    assert (answer.status, answer.json["error"]["code"]) == (200, -32603)
    assert "data" not in answer.json["error"]


@pytest.mark.parametrize("kind", ["input_required", "task"])
def test_a_call_whose_server_asks_back_is_recorded_as_its_client_hears_it(endpoint, kind):
    grant, client = endpoint.client()
    told = told_instead(endpoint, client, {"tools/call": {"resultType": kind, "inputRequests": {}}})
    run = CommandRun.objects.get(grant=grant)
    assert (told["error"], told["run"]) == ("unanswered", run.pk)
    assert (run.state, run.reason) == ("cut", told["reason"])
    assert kind in run.reason
