"""An API server that is slow, huge, odd or hostile is an error and nothing else."""

import contextlib
import json
import socket
import ssl
import threading

import pytest
from pydantic import SecretStr

from sessions_app.connectors.base import ConnectorError
from sessions_app.connectors.kubernetes import api as apis
from sessions_app.connectors.kubernetes.api import Api
from sessions_app.connectors.kubernetes.connector import KubernetesConnector
from tests.sessions_app.connectors.kubernetes.conftest import place_of
from tests.support.servers.kubernetes.cluster import Cluster
from tests.support.servers.kubernetes.tls import authority
from tests.support.waits import drip


@pytest.fixture
def answering(tmp_path):
    """A place where every request is answered by a function that gets the connection."""
    ca, context = authority(tmp_path)
    opened = []

    @contextlib.contextmanager
    def serve(answer):
        with socket.create_server(("127.0.0.1", 0)) as listening:
            thread = threading.Thread(target=accept, args=(listening, answer), daemon=True)
            thread.start()
            there = Cluster(
                "127.0.0.1", listening.getsockname()[1], ca, ssl.create_default_context(cadata=ca)
            )
            there.token_of = lambda *_: ""
            yield place_of(there, token=SecretStr("canary-0451"))

    def accept(listening, answer):
        while True:
            try:
                connection = context.wrap_socket(listening.accept()[0], server_side=True)
            except OSError:
                return
            opened.append(connection)
            with contextlib.suppress(OSError):
                while connection.recv(65536):
                    answer(connection)

    yield serve
    for connection in opened:
        connection.close()


def whole(body: bytes, status: str = "200 OK", headers: str = ""):
    def answer(connection):
        connection.sendall(
            f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n{headers}\r\n".encode() + body
        )

    return answer


def test_a_dripping_answer_is_given_up(answering):
    stop = threading.Event()

    def answer(connection):
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
        drip(connection.sendall, b" ", stop)

    with answering(answer) as place:
        with pytest.raises(ConnectorError) as caught:
            Api(place, seconds=1).call("GET", "/version")
        stop.set()
        assert not caught.value.permanent


def test_a_huge_answer_is_given_up(answering, monkeypatch):
    monkeypatch.setattr(apis, "MAX_ANSWER", 100_000)
    with answering(whole(b"[" * 400_000)) as place, pytest.raises(ConnectorError):
        Api(place).call("GET", "/version")


def test_a_list_without_end_is_given_up(answering):
    endless = json.dumps({"items": [], "metadata": {"continue": "more"}}).encode()
    with answering(whole(endless)) as place, pytest.raises(ConnectorError):
        list(Api(place, seconds=0.5).items("/api/v1/pods"))


@pytest.mark.parametrize(
    "body",
    [
        b"<html>a proxy</html>",
        b"[]",
        b"null",
        b"7",
        b'{"items": 7}',
        b'{"items": [7]}',
        b'{"items": [{}]}',
        b'{"items": [{"metadata": 7}]}',
        b'{"items": [{"metadata": {"name": 7}}]}',
        b'{"items": [], "metadata": 7}',
        b'{"items": [{"metadata": {"name": "x", "labels": 7}}]}',
        b'{"items": [{"metadata": {"name": "x"}, "rules": [7]}]}',
        b'{"items": [{"metadata": {"name": "x"}, "rules": [{"verbs": 7}]}]}',
        b'{"status": 7}',
        b'{"status": {"token": 7}}',
        b'{"items": [{"metadata": {"name": "x"}, "subjects": 7}]}',
        b"\xff\xfe",
        b"{" * 5000,
        b"",
    ],
)
def test_an_answer_that_is_none_proves_nothing_and_breaks_nothing(answering, ground, body):
    connector, spec = KubernetesConnector(settle=0), ground.spec(keep={0})
    with answering(whole(body)) as place:
        there = ground.spec(keep={0}, place=place)
        lease = ground.forgotten(there)
        for call in (connector.revoke, connector.verify):
            with contextlib.suppress(ConnectorError):
                assert not call(lease).gone
        for call in (
            lambda: connector.provision(there),
            lambda: connector.issue(there, lease),
            lambda: connector.observe(place),
        ):
            with contextlib.suppress(ConnectorError):
                call()
        assert connector.check(place)
    assert spec


@pytest.mark.parametrize(
    "status", ["302 Found", "400 Bad Request", "403 Forbidden", "422 Unprocessable", "500 Oops", "503 Busy"]
)
def test_a_refusal_is_told_without_the_token_and_on_one_line(answering, status):
    said = json.dumps({"message": "no: Bearer canary-0451\n\x00\x1b[31m"}).encode()
    with answering(whole(said, status, "Location: https://127.0.0.1:9/\r\n")) as place:
        with pytest.raises(ConnectorError) as caught:
            Api(place).call("GET", "/version")
    assert "no: Bearer …" in caught.value.message
    assert caught.value.message.isprintable()
    assert caught.value.permanent == (status[0] != "5")


@pytest.mark.parametrize("body", [b"{}", b"7", b'{"kind": "Status", "status": "Success"}'])
def test_what_is_no_list_is_not_taken_for_an_empty_one(answering, body):
    with answering(whole(body)) as place, pytest.raises(ConnectorError, match="as Kubernetes does"):
        list(Api(place).items("/api/v1/pods"))
