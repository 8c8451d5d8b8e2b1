"""A server of the older protocol version that has lost its sessions, as after a restart."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from sessions_app.models import CommandRun
from tests.sessions_app.gateways.mcp.test_application import told_instead


@pytest.fixture(scope="module")
def legacy_server() -> bool:
    return True


def begun(desk):
    return sum(b'"initialize"' in body for body in desk.bodies)


def test_of_all_calls_that_find_the_conversation_lost_one_begins_it_anew_and_each_is_made_once(endpoint):
    grant, client = endpoint.client()
    assert not client.call("read_ticket", {"id": "T-42"}).json["result"]["isError"]
    before, calls = begun(endpoint.desk), len(endpoint.desk.calls)
    endpoint.desk.forget()
    with ThreadPoolExecutor(12) as pool:
        answers = list(
            pool.map(lambda _: client.call("read_ticket", {"id": "T-42"}).json["result"], range(12))
        )
    assert [answer["isError"] for answer in answers] == [False] * 12
    assert begun(endpoint.desk) == before + 1
    assert len(endpoint.desk.calls) == calls + 12
    assert not CommandRun.objects.filter(grant=grant).exclude(state="done").exists()


def test_a_call_that_can_not_be_made_in_a_new_conversation_is_recorded_with_its_reason(endpoint):
    grant, client = endpoint.client()
    assert not client.call("read_ticket", {"id": "T-42"}).json["result"]["isError"]
    told = told_instead(endpoint, client, {"tools/call": 404, "initialize": 500})
    assert told["error"] == "not_made"
    run = CommandRun.objects.filter(grant=grant).latest("pk")
    assert (run.pk, run.state) == (told["run"], "failed")
    assert "does not support MCP" in run.reason
    assert not client.call("read_ticket", {"id": "T-42"}).json["result"]["isError"]
