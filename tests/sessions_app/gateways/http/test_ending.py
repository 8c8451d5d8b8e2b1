"""Downloads, event streams and WebSockets when the grant ends."""

import asyncio
import contextlib
import time

import aiohttp
import pytest
from django.db import connection

from broker.kernel import clock
from sessions_app.operations.sessions.decide_hold import decide_hold
from tests.support.servers.http_endpoint import HTTPEndpoint
from tests.support.servers.http_place import HEADER, http_place
from tests.support.waits import eventually

pytestmark = pytest.mark.timing

LIMIT = 2.0


@pytest.fixture(scope="module")
def place(processes, tmp_path_factory, django_db_setup, django_db_blocker):
    """The gateway without a worker, and with a Redis that is down."""

    def alone(env):
        return {**env, "REDIS_URL": "redis://127.0.0.1:1/0", "STINT_REDIS_URL": "redis://127.0.0.1:1/0"}

    with http_place(
        django_db_blocker, tmp_path_factory.mktemp("http"), tls=False, inject=HEADER, change=alone
    ) as place:
        yield place


@pytest.fixture
def endpoint(place):
    return HTTPEndpoint(place, None)


def end_apart(place, grant) -> None:
    """Revoke a grant in another thread."""
    try:
        place.end(grant)
    finally:
        connection.close()


@pytest.mark.parametrize("path", ["/download/S-42?pieces=100000", "/flood/S-42", "/watch/S-42"])
def test_a_revoke_cuts_what_is_read_at_both_ends(endpoint, place, path):
    grant = endpoint.grant()
    word = path.split("/")[1]
    with endpoint.lasting(grant, path) as lasting:
        time.sleep(0.5)
        assert lasting.lives()
        place.end(grant)
        eventually(lambda: not lasting.lives(), within=LIMIT)
        eventually(lambda: not place.target.under_way[word], within=LIMIT)
        # It does not look complete: neither the last chunk nor the whole length was sent.
        assert not lasting.text.endswith(b"0\r\n\r\n")
        assert lasting.size < 100_000 * 64 * 1024
    eventually(lambda: grant.runs.get().state == "cut")


def test_a_download_of_100_mb_passes_whole(endpoint, place):
    grant = endpoint.grant()
    reply = place.ask(grant, "GET /download/S-42?pieces=1600")
    assert len(reply.body) == 1600 * 64 * 1024
    eventually(lambda: grant.runs.get().output_bytes == 1600 * 64 * 1024)


@contextlib.asynccontextmanager
async def socket_of(place, grant, **more):
    async with (
        aiohttp.ClientSession() as client,
        client.ws_connect(
            f"{place.base}/http/prices/socket/S-42",
            ssl=place.context(),
            autoclose=False,
            protocols=("prices", "other"),
            headers={"Authorization": f"Bearer {place.token(grant)}"},
            **more,
        ) as socket,
    ):
        yield socket


def talk(place, grant, conversation, **more):
    """Run a conversation on a WebSocket through the gateway."""
    place.token(grant)

    async def run():
        async with asyncio.timeout(120), socket_of(place, grant, **more) as socket:
            return await conversation(socket)

    return asyncio.run(run())


def test_messages_of_a_websocket_pass_both_ways(endpoint, place):
    async def conversation(socket):
        await socket.send_str("hello")
        assert await socket.receive_str() == "hello"
        await socket.send_bytes(b"\0\1")
        assert await socket.receive_bytes() == b"\0\1"
        return socket.protocol

    grant = endpoint.grant()
    assert talk(place, grant, conversation) == "prices"
    assert place.target.heard[-2:] == ["hello", b"\0\1"]
    eventually(lambda: grant.runs.get().state == "done")


@pytest.mark.parametrize(("word", "reason"), [("bye", "enough"), ("leak", "(removed)")])
def test_the_reason_of_a_closed_websocket_never_has_the_credential(endpoint, place, word, reason):
    async def conversation(socket):
        await socket.send_str(word)
        return await socket.receive()

    message = talk(place, endpoint.grant(), conversation)
    assert (message.data, message.extra) == (4001, reason)


def test_the_end_closes_a_websocket_with_the_reason(endpoint, place):
    grant = endpoint.grant()

    async def conversation(socket):
        await socket.send_str("hello")
        assert await socket.receive_str() == "hello"
        await asyncio.to_thread(end_apart, place, grant)
        return await socket.receive()

    message = talk(place, grant, conversation)
    assert (message.data, message.extra) == (1008, f"{grant.ref} has ended: revoked.")
    eventually(lambda: not place.target.under_way["socket"], within=LIMIT)


def test_a_client_that_reads_nothing_of_a_websocket_holds_up_no_end(endpoint, place):
    grant = endpoint.grant()

    async def conversation(socket):
        await socket.send_str("flood")
        await asyncio.sleep(1)
        socket._response.connection.transport.pause_reading()
        await asyncio.sleep(1)
        assert place.target.under_way["socket"]
        await asyncio.to_thread(end_apart, place, grant)
        await asyncio.to_thread(eventually, lambda: not place.target.under_way["socket"], within=LIMIT)

    talk(place, grant, conversation)


GOOD = {
    "Connection": "Upgrade",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
}


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"Sec-WebSocket-Key": None}, 400),
        ({"Sec-WebSocket-Key": "c2hvcnQ="}, 400),
        ({"Sec-WebSocket-Key": "not base64 at all!"}, 400),
        ({"Connection": "close"}, 400),
        ({"Sec-WebSocket-Version": None}, 426),
        ({"Sec-WebSocket-Version": "8"}, 426),
    ],
)
def test_a_websocket_that_no_client_can_open_is_not_opened_at_the_target(endpoint, place, changes, status):
    grant, before = endpoint.grant(), len(place.target.requests)
    headers = {name: value for name, value in {**GOOD, **changes}.items() if value is not None}
    reply = place.ask(grant, "GET /socket/S-42", Upgrade="websocket", **headers)
    assert (reply.status, reply.json["code"]) == (status, "request_malformed")
    if status == 426:
        assert reply.headers["sec-websocket-version"] == "13"
    assert len(place.target.requests) == before
    assert not grant.runs.exists()


def test_a_request_that_its_client_gives_up_says_so(endpoint, place):
    grant = endpoint.grant()
    place.target.late["/quiet/S-42"] = 60
    try:
        with endpoint.begin(grant, "/quiet/S-42"):
            eventually(lambda: place.target.under_way["quiet"])
        eventually(lambda: grant.runs.get().state == "cut")
    finally:
        place.target.late.clear()
    assert grant.runs.get().reason == "canceled by the client"


def test_a_held_request_whose_row_says_another_is_not_sent_and_says_so(endpoint):
    grant = endpoint.grant()
    with endpoint.held(grant) as held:
        grant.runs.update(argv=["another"])
        decide_hold(run_id=grant.runs.get().pk, actor=endpoint.world.bob, allow=True, now=clock.now())
        assert "Another command was allowed." in held.answer().text
    eventually(lambda: grant.runs.get().state == "failed")
    assert grant.runs.get().reason == "Another command was allowed."
