"""Request bodies are read in full, have only one possible reading, and are parsed outside the event loop."""

import asyncio
import json

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import RawTestServer

from sessions_app.gateways.core.heads import HeadRefused
from sessions_app.gateways.kubernetes import bodies
from sessions_app.gateways.kubernetes.asked import read_asked
from sessions_app.gateways.kubernetes.bodies import APPLY, JSON, MOST_YAML, PROTOBUF, read_body
from tests.support.threads import runs_beside


async def read(data: bytes, kind: str, **how: bool) -> tuple[int, bytes]:
    """Send a body to a server that reads it, and return the status and the bytes to send on, or the error."""

    async def handle(request):
        try:
            return web.Response(body=(await read_body(read_asked(request), **how)).data)
        except HeadRefused as error:
            return web.Response(status=error.status, text=error.reason)

    async with RawTestServer(handle) as server, aiohttp.ClientSession() as client:
        url, headers = server.make_url("/kubernetes/a/b"), {"content-type": kind}
        async with client.patch(url, data=data, headers=headers) as answer:
            return answer.status, await answer.read()


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a: 1\nb: [x, 2.5, null, true]", {"a": 1, "b": ["x", 2.5, None, True]}),
        ("a: 2026-01-01", {"a": "2026-01-01"}),
        ('{"a": 1}', {"a": 1}),
    ],
)
def test_an_apply_may_be_yaml(text, value):
    status, sent = asyncio.run(read(text.encode(), APPLY))
    assert (status, json.loads(sent)) == (200, value)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a: &x [1]\nb: *x", "anchors and aliases"),
        ("a: &x 1", "anchors and aliases"),
        ("a: 1\na: 2", "a key is repeated"),
        ("1: a", "a key is not a string"),
        ("a: " + "[" * 101 + "]" * 101, "nested too deeply"),
        ("a: " + "[" * 100_000, "not valid JSON or YAML"),
        ("a: !!binary aGk=", "a value that JSON can't represent"),
        ("a: 1\n---\nb: 2", "not valid JSON or YAML"),
        ("a: [", "not valid JSON or YAML"),
    ],
    ids=lambda value: value[:20],
)
def test_yaml_that_two_readers_could_read_differently_is_refused(text, says):
    status, reason = asyncio.run(read(text.encode(), APPLY))
    assert status == 400
    assert says in reason.decode()


def test_json_is_nested_no_deeper_than_yaml():
    for levels, status in ((100, 200), (102, 400), (100_000, 400)):
        assert asyncio.run(read(b"[" * levels + b"]" * levels, JSON))[0] == status


def test_yaml_is_read_for_an_apply_alone_and_never_much_of_it():
    assert asyncio.run(read(b"a: 1", "application/yaml"))[0] == 415
    assert asyncio.run(read(b"a: 1", JSON))[0] == 400
    assert asyncio.run(read(b"a: 1\nb: " + b"x" * MOST_YAML, APPLY))[0] == 413


def test_protobuf_passes_unchanged_where_nothing_in_it_is_decided_and_is_refused_elsewhere():
    data = b"k8s\0\n\xff"
    assert asyncio.run(read(data, PROTOBUF, unread=True)) == (200, data)
    assert asyncio.run(read(data, PROTOBUF))[0] == 415
    assert asyncio.run(read(data, JSON, unread=True))[0] == 400
    assert asyncio.run(read(data, "application/cbor", unread=True))[0] == 415


@pytest.mark.parametrize("size", [15_000, MOST_YAML])
def test_yaml_is_read_beside_the_loop(monkeypatch, size):
    is_beside = runs_beside(monkeypatch, bodies, "_read")
    lines = b"".join(b"key-%d: [a, 1, true, {b: c}]\n" % number for number in range(100_000))
    asyncio.run(read(lines[: lines.rindex(b"\n", 0, size)], APPLY))
    assert is_beside()
