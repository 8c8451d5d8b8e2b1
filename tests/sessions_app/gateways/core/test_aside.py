"""The event loop keeps running, and ends with it, while a long text is parsed."""

import asyncio
import io
import json
import threading
from types import SimpleNamespace

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import RawTestServer

from sessions_app.gateways.core.aside import SMALL, aside
from sessions_app.gateways.core.heads import read_framing
from sessions_app.gateways.http import answers, carried
from sessions_app.gateways.http.answers import picked
from sessions_app.gateways.http.carried import Media, read_carried
from sessions_app.gateways.kubernetes import bodies
from sessions_app.gateways.kubernetes import standing as standings
from sessions_app.gateways.kubernetes.asked import read_asked
from sessions_app.gateways.kubernetes.bodies import Body, read_body
from sessions_app.gateways.kubernetes.deciding import Decided, compared
from sessions_app.gateways.kubernetes.standing import Reader, bound
from sessions_app.policy.commands.answers import Refused
from sessions_app.policy.commands.http.carried import Plan
from sessions_app.policy.commands.json_values.bodies import MAX_BODY
from sessions_app.policy.commands.kubernetes.api_request import read_request
from tests.support.threads import runs_beside

JSON = "application/json"
# The longest texts to parse that the limits for a body and a response permit.
BODY = b'{"price": [' + b",".join([b"0.12345678"] * 49_000) + b"]}"
LARGER = b"[" + b",".join([BODY] * 5) + b"]"
ANSWER = b'{"price": 7, "more": [' + b",".join([b'{"a":[]}'] * 90_000) + b"]}"
FIELDS = ("price", "more[].b")


def test_what_is_large_is_read_beside_the_loop_and_what_is_small_at_once():
    assert asyncio.run(aside(SMALL, threading.current_thread)) is threading.main_thread()
    assert asyncio.run(aside(SMALL + 1, threading.current_thread)) is not threading.main_thread()


async def http_body(request):
    await read_carried(request, read_framing(request), Media(JSON), Plan("json", MAX_BODY))


async def kubernetes_body(request):
    await read_body(read_asked(request))


async def nothing(request):
    await request.read()


def asked(read, body, answer):
    """Send a request to a server that parses it, and read its response if fields are to be selected."""

    async def handle(request):
        await read(request)
        return web.Response(body=answer, content_type=JSON)

    async def whole():
        async with RawTestServer(handle) as server, aiohttp.ClientSession() as client:
            url = server.make_url("/kubernetes/a/b")
            async with client.post(url, data=io.BytesIO(body), headers={"content-type": JSON}) as found:
                assert found.status == 200
                if answer:
                    assert b"7" in await picked(found, FIELDS, None)

    return whole


@pytest.mark.parametrize(
    ("read", "body", "answer", "reader"),
    [
        (http_body, BODY, b"", (carried, "_json_of")),
        (kubernetes_body, LARGER, b"", (bodies, "_read")),
        (nothing, b"", ANSWER, (answers, "projected")),
    ],
)
def test_a_body_or_an_answer_is_read_beside_the_loop(monkeypatch, read, body, answer, reader):
    is_beside = runs_beside(monkeypatch, *reader)
    asyncio.run(asked(read, body, answer)())
    assert is_beside()


def test_an_object_that_a_small_request_is_compared_with_is_compared_beside_the_loop_if_it_is_large():
    use = SimpleNamespace(credential_id=1, target=SimpleNamespace(id=1, name="prod-1"))
    large = json.dumps({"data": ["x"] * 20_000}).encode()
    request = read_request("PATCH", "/api/v1/namespaces/web/configmaps/shop", "")

    compares = []

    def decide(standing):
        if standing.target is None:
            return Decided(Refused("it has to be read", None, "target"), "", request=request)
        compares.append(threading.current_thread())
        return Decided(Refused("it does not fit", None, "value"), "", request=request)

    async def work():
        async def answer(request):
            return web.Response(body=large, content_type=JSON)

        async with RawTestServer(answer) as server, aiohttp.ClientSession() as client:

            class Near:
                async def send(self, use, method, target, headers, data):
                    return await client.request(method, server.make_url(target), headers=headers)

            found = await compared(Reader(Near()), use, decide, size=10, agent="x")
            assert found.decision.code == "value"

    asyncio.run(work())
    assert compares
    assert threading.main_thread() not in compares


def test_a_large_body_is_bound_to_a_version_beside_the_loop(monkeypatch):
    is_beside = runs_beside(monkeypatch, standings, "_bound")
    body = Body(JSON, None, json.dumps({"data": {str(key): ["x"] * 10 for key in range(50_000)}}).encode())
    asyncio.run(bound(body, "7"))
    assert is_beside()
