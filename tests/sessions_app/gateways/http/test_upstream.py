"""Connections to targets that are down, not trusted, or disconnect."""

import asyncio
import contextlib
import socket
import threading

import pytest
from multidict import CIMultiDict

from broker.demo.ports import free_port
from sessions_app.connectors.base import TargetSpec
from sessions_app.connectors.http.parameters import HTTPParameters
from sessions_app.gateways.core.client import NotReached
from sessions_app.gateways.http.answers import mapped
from sessions_app.gateways.http.upstream import Upstream, address_of, host_of
from sessions_app.policy.scope import TargetFacts
from tests.support.servers.http_target import http_target


def place(port: int, *, address: str = "127.0.0.1", **more) -> TargetSpec:
    target = TargetFacts(id=1, name="prices-1", address=address, port=port, account="", host_key="")
    return TargetSpec(cluster="prices", target=target, parameters=HTTPParameters(proxy="stint", **more))


def get(there: TargetSpec):
    async def whole():
        upstream = Upstream()
        try:
            answer = await upstream.send(
                there, "GET", "/prices/S-42", {"host": host_of(there)}, None, patient=False
            )
            return answer.status, await answer.read()
        finally:
            await upstream.close()

    return asyncio.run(whole())


@contextlib.contextmanager
def serving(talk):
    """Run a server that calls ``talk`` for each connection, and closes it."""

    def whole(wire: socket.socket) -> None:
        with wire, contextlib.suppress(OSError):
            talk(wire)

    def serve() -> None:
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=whole, args=(server.accept()[0],), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=serve, daemon=True).start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)


def test_a_target_that_is_not_there_was_sent_nothing():
    port = free_port()
    with pytest.raises(NotReached, match=rf"prices-1 \(127.0.0.1:{port}\) did not respond") as refused:
        get(place(port, tls=False))
    assert not refused.value.sent


def test_a_target_with_a_certificate_of_its_own_making_is_sent_nothing(tmp_path):
    with http_target(tmp_path / "tls") as target:
        with pytest.raises(NotReached, match="failed TLS verification") as refused:
            get(place(target.port))
        assert not refused.value.sent
        assert not target.requests
        assert get(place(target.port, ca=target.ca))[0] == 200


@pytest.mark.parametrize(
    "said", [b"", b"HTTP/1.1 20", b"nonsense\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n"]
)
def test_a_target_that_breaks_off_may_have_received_it(said):
    def talk(wire: socket.socket) -> None:
        wire.recv(65536)
        wire.sendall(said)

    with serving(talk) as port, pytest.raises(NotReached) as refused:
        get(place(port, tls=False))
    assert refused.value.sent


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "PUT", "DELETE"])
def test_a_request_is_sent_once_however_its_connection_ends(method):
    heads: list[bytes] = []

    def closes_at_the_second(wire: socket.socket) -> None:
        heads.append(wire.recv(65536))
        wire.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nyes")
        heads.append(wire.recv(65536))

    async def twice(there: TargetSpec) -> None:
        upstream = Upstream()
        try:
            first = await upstream.send(there, "GET", "/first", {}, None, patient=False)
            await first.read()
            await upstream.send(there, method, "/second", {}, None, patient=False)
        finally:
            await upstream.close()

    with (
        serving(closes_at_the_second) as port,
        pytest.raises(NotReached, match="closed the connection") as refused,
    ):
        asyncio.run(twice(place(port, tls=False)))
    assert refused.value.sent
    assert [head.split()[1] for head in heads] == [b"/first", b"/second"]


@pytest.mark.parametrize(
    ("there", "host", "address"),
    [
        (place(443), "127.0.0.1", "https://127.0.0.1/x%20y?a=%2F"),
        (place(8443, host="api.example.com"), "api.example.com", "https://127.0.0.1:8443/x%20y?a=%2F"),
        (place(80, tls=False, address="::1"), "[::1]", "http://[::1]/x%20y?a=%2F"),
        (place(8080, tls=False), "127.0.0.1:8080", "http://127.0.0.1:8080/x%20y?a=%2F"),
    ],
)
def test_a_target_is_addressed_as_it_was_decided(there, host, address):
    assert host_of(there) == host
    assert str(address_of(there, "/x%20y?a=%2F")) == address


@pytest.mark.parametrize(
    ("location", "leads_to"),
    [
        ("/v1/prices/S-7?a=b", "https://gw/http/prices/prices/S-7?a=b"),
        ("/v1", "https://gw/http/prices/"),
        ("https://api.example.com/v1/prices", "https://gw/http/prices/prices"),
        ("https://api.example.com:443/v1/prices", "https://gw/http/prices/prices"),
        ("http://api.example.com/v1/prices", "https://gw/http/prices/prices"),
        ("/v2/prices", None),
        ("/v10", None),
        ("https://api.example.com/admin", None),
        ("https://[", None),
        ("https:api.example.com", None),
    ],
)
def test_an_address_beside_the_base_path_of_a_target_does_not_pass(location, leads_to):
    headers = CIMultiDict({"location": location})
    mapped(headers, place(443, host="api.example.com", base_path="/v1"), "https://gw/http/prices")
    assert headers.get("location") == leads_to
