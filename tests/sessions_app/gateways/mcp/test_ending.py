"""At the end of a grant its streams close, the result of a running call is withheld, and only then is it
ENDED.
"""

import contextlib
import datetime as dt
import json
import socket
import threading
import time
import urllib.request
from collections.abc import Callable
from urllib.parse import urlsplit

import pytest

from sessions_app.gateways.mcp.asked import BODY_S
from sessions_app.models import CommandRun, Grant, Session
from sessions_app.operations.grants.deprovision_grant import deprovision_grant
from sessions_app.operations.grants.revoke_http_token import revoke_http_token
from tests.sessions_app.gateways.mcp.test_application import hello
from tests.support.pace import allow
from tests.support.servers.mcp_place import now
from tests.support.waits import PATIENCE, eventually
from tests.support.world.acts import last, revoke
from tests.support.world.mcp_site import Raw, token_of

pytestmark = pytest.mark.timing

META = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientCapabilities": {},
}


class Watching:
    """A call that does not end by itself, in progress in a thread."""

    def __init__(self, client: Raw, desk) -> None:
        desk.go.clear()
        before = len(desk.calls)
        self.answer = None
        self._thread = threading.Thread(target=self._run, args=(client,), daemon=True)
        self._thread.start()
        eventually(lambda: len(desk.calls) > before, within=30)

    def _run(self, client):
        self.answer = client.call("watch_ticket", {"id": "T-42"}, Accept="application/json")

    def result(self):
        self._thread.join(PATIENCE)
        assert self.answer is not None, "the call goes on"
        return self.answer.json["result"]


def listen(client: Raw):
    body = {
        "jsonrpc": "2.0",
        "id": 9,
        "method": "subscriptions/listen",
        "params": {"_meta": META, "notifications": {"toolsListChanged": True}},
    }
    headers = {
        "Content-Type": "application/json",
        "Accept": "text/event-stream",
        "Authorization": f"Bearer {client.token}",
        "MCP-Protocol-Version": "2026-07-28",
        "Mcp-Method": "subscriptions/listen",
    }
    request = urllib.request.Request(client.url, data=json.dumps(body).encode(), headers=headers)
    return urllib.request.urlopen(request, timeout=60)


def message(stream):
    for line in stream:
        if line.startswith(b"data: "):
            return json.loads(line[6:])
    return None


def test_an_end_cuts_streams_and_withholds_results_before_the_grant_is_ended(endpoint):
    grant, client = endpoint.client()
    assert not client.call("read_ticket", {"id": "T-42"}).json["result"]["isError"]
    with listen(client) as stream:
        acknowledged = message(stream)
        assert acknowledged["method"] == "notifications/subscriptions/acknowledged"
        assert acknowledged["params"]["_meta"] == {"io.modelcontextprotocol/subscriptionId": 9}
        watching = Watching(client, endpoint.desk)
        revoke(grant)
        assert message(stream)["method"] == "notifications/tools/list_changed"
        assert message(stream)["result"]["resultType"] == "complete"
        assert message(stream) is None
    found = watching.result()
    assert found["isError"]
    assert "withheld" in found["content"][0]["text"]
    assert "secret" not in json.dumps(found)
    run = CommandRun.objects.filter(grant=grant).latest("pk")
    eventually(lambda: not Session.objects.filter(grant=grant, closed_at__isnull=True).exists(), within=30)
    run.refresh_from_db()
    assert run.state == "cut"
    deprovision_grant(grant_id=grant.pk, now=now)
    grant.refresh_from_db()
    assert grant.state == "ended"
    assert grant.leases.get().evidence["made"] == 0
    assert client.call("read_ticket", {"id": "T-42"}).status == 401


def connected(client: Raw) -> socket.socket:
    there = urlsplit(client.url)
    return socket.create_connection((there.hostname, there.port), timeout=30)


def call_of(client: Raw, tool: str = "read_ticket") -> tuple[bytes, bytes]:
    """The head and the body of a call."""
    body = json.dumps(
        {
            "jsonrpc": "2.0",
            "id": 7,
            "method": "tools/call",
            "params": {"name": tool, "arguments": {"id": "T-42"}, "_meta": META},
        }
    ).encode()
    there = urlsplit(client.url)
    head = (
        f"POST {there.path} HTTP/1.1\r\nHost: {there.netloc}\r\nAuthorization: Bearer"
        f" {client.token}\r\nContent-Type: application/json\r\nAccept: application/json\r\nContent-Length:"
        f" {len(body)}\r\nMCP-Protocol-Version: 2026-07-28\r\nMcp-Method: tools/call\r\nMcp-Name:"
        f" {tool}\r\nConnection: close\r\n\r\n"
    )
    return head.encode(), body


def given_up(client: Raw, once: Callable[[], object], *, tool: str = "read_ticket") -> None:
    """Call, and disconnect once a condition is true."""
    with connected(client) as line:
        line.sendall(b"".join(call_of(client, tool)))
        eventually(once, within=30)


def slowly(client: Raw, meanwhile: Callable[[socket.socket], object]) -> bytes:
    """Return the response to a call of which one half is sent, then something happens, then the other half is
    sent.
    """
    head, body = call_of(client)
    with connected(client) as line:
        line.sendall(head + body[:40])
        meanwhile(line)
        with contextlib.suppress(OSError):
            line.sendall(body[40:])
        with line.makefile("rb") as answer:
            return answer.read()


def test_a_token_that_is_replaced_while_a_call_is_being_sent_makes_none(endpoint):
    grant, client = endpoint.client()
    before = list(endpoint.desk.calls)

    def replaced(_line):
        time.sleep(1)  # so that the gateway has what was sent
        token_of(grant, endpoint.world, now=now())

    assert slowly(client, replaced).startswith(b"HTTP/1.1 401 ")
    assert endpoint.desk.calls == before
    entry = last("command.refused", grant.ref)
    assert entry.data["why"] == "the token was replaced"


def test_half_a_call_is_not_waited_for(endpoint):
    _, client = endpoint.client()
    head, body = call_of(client)
    with connected(client) as line:
        line.settimeout(BODY_S + allow(10))
        line.sendall(head + body[:40])
        with line.makefile("rb") as answer:
            assert answer.readline().startswith(b"HTTP/1.1 408 ")


def replace_it(grant, world, _text):
    token_of(grant, world, now=now())


def give_it_up(_grant, _world, text):
    revoke_http_token(text=text, now=now())


@pytest.mark.parametrize("end", [replace_it, give_it_up])
def test_the_end_of_a_token_cuts_its_streams_and_withholds_results_while_its_grant_goes_on(endpoint, end):
    grant, client = endpoint.client()
    with listen(client) as stream:
        message(stream)
        watching = Watching(client, endpoint.desk)
        end(grant, endpoint.world, client.token)
        told = watching.result()
        assert told["structuredContent"]["error"] == "token_over"
        assert message(stream)["method"] == "notifications/tools/list_changed"
        message(stream)
        assert message(stream) is None
    assert "token replaced or revoked; the result is withheld" in told["content"][0]["text"]
    eventually(lambda: not Session.objects.filter(grant=grant, closed_at__isnull=True).exists(), within=30)
    assert client.call("read_ticket", {"id": "T-42"}).status == 401
    fresh = Raw(endpoint.url, token_of(grant, endpoint.world, now=now()))
    assert not fresh.call("read_ticket", {"id": "T-42"}).json["result"]["isError"]


def test_the_time_of_a_token_cuts_what_is_open_with_no_message_from_anybody(endpoint):
    grant, lifetime = endpoint.grant(), dt.timedelta(seconds=min(allow(5), 20))
    until = now() + lifetime
    client = Raw(endpoint.url, token_of(grant, endpoint.world, now=now(), lifetime=lifetime))
    with listen(client) as stream:
        watching = Watching(client, endpoint.desk)
        assert watching.result()["structuredContent"]["error"] == "token_over"
        assert now() >= until - dt.timedelta(seconds=1)
        while message(stream) is not None:
            pass
    assert client.call("read_ticket", {"id": "T-42"}).status == 401
    assert Grant.objects.get(pk=grant.pk).state == "active"


def test_a_stream_of_the_older_era_is_closed_at_the_end(endpoint):
    grant, client = endpoint.client()
    session = hello(client).headers["mcp-session-id"]
    headers = {
        "Accept": "text/event-stream",
        "Authorization": f"Bearer {client.token}",
        "MCP-Session-Id": session,
    }
    with urllib.request.urlopen(urllib.request.Request(client.url, headers=headers), timeout=60) as stream:
        revoke(grant)
        assert message(stream) is None
    assert client.send(None, method="GET", MCP_Session_Id=session).status == 401


def test_a_client_that_goes_away_ends_its_call_at_the_server(endpoint):
    grant, client = endpoint.client()
    endpoint.desk.go.clear()
    before = len(endpoint.desk.calls)
    given_up(client, lambda: len(endpoint.desk.calls) > before, tool="watch_ticket")
    assert len(endpoint.desk.calls) == before + 1

    def cut():
        return CommandRun.objects.filter(grant=grant, state="cut", reason="canceled by the client").exists()

    eventually(cut, within=30)


@contextlib.contextmanager
def unanswered(endpoint):
    """A server that does not answer which tools it has."""
    endpoint.desk.go.clear()
    endpoint.desk.slow = {"tools/list"}
    try:
        yield
    finally:
        endpoint.desk.slow = set()
        endpoint.desk.go.set()


def test_a_call_that_its_client_gives_up_before_it_is_decided_is_written_down(endpoint):
    grant, client = endpoint.client()
    made = len(endpoint.desk.calls)
    endpoint.desk.bodies.clear()
    with unanswered(endpoint):
        given_up(client, lambda: any(b"tools/list" in body for body in endpoint.desk.bodies))
        eventually(lambda: CommandRun.objects.filter(grant=grant).exists(), within=30)
    run = CommandRun.objects.get(grant=grant)
    assert (run.state, run.reason) == (
        "failed",
        "canceled by the client, before it was decided; nothing was sent",
    )
    entry = last("command.refused", grant.ref)
    assert (entry.data["run"], entry.data["code"]) == (run.pk, "barred")
    assert "T-42" in entry.data["line"]
    assert len(endpoint.desk.calls) == made


def test_one_stream_too_many_is_told_so_on_its_own(endpoint):
    grant, client = endpoint.client()
    with contextlib.ExitStack() as stack:
        for _ in range(8):
            assert message(stack.enter_context(listen(client)))["method"].endswith("acknowledged")
        more = stack.enter_context(listen(client))
        assert message(more)["method"].endswith("acknowledged")
        assert "streams per token" in message(more)["error"]["message"]
    revoke(grant)
