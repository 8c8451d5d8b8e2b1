"""One exchange with a server that is none of ours is over at its deadline, whatever the server does."""

import contextlib
import http.client
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from types import SimpleNamespace
from urllib.parse import urlsplit

import pytest

from broker.kernel import outgoing
from broker.kernel.outgoing import Outgoing, Unreached
from tests.support import waits
from tests.support.pace import allow
from tests.support.steady import Steady

# Far longer than any test waits: what is not cut hangs visibly.
FOREVER = 60.0


@contextlib.contextmanager
def server(*parts: bytes, drip: bytes = b"", heard: list[bytes] | None = None) -> Iterator[str]:
    """A server that sends the parts at once and then, again and again, one drip; gives its address.
    ``heard``: for requests.
    """
    stop = threading.Event()

    def serve(listening: socket.socket) -> None:
        taken, _ = listening.accept()
        with taken, contextlib.suppress(OSError):
            asked = taken.recv(65536)
            if heard is not None:
                heard.append(asked)
            for part in parts:
                taken.sendall(part)
            if drip:
                waits.drip(taken.sendall, drip, stop)

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=serve, args=(listening,), daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}/"
        finally:
            stop.set()
            waits.ends(thread)


class Deadline:
    """The deadline of an exchange, which passes when the test says so."""

    def __init__(self) -> None:
        self.clock, self.cuts = Steady(), []

    def timer(self, _seconds: float, cut: Callable[[], None]) -> threading.Thread:
        self.cuts.append(cut)
        return threading.Timer(0, lambda: None)

    def passes(self) -> None:
        self.clock.at += FOREVER
        for cut in self.cuts:
            cut()


@pytest.fixture
def cut_in_the_body(monkeypatch):
    """The deadline passes once the head of the answer was read."""
    deadline, read = Deadline(), http.client.HTTPResponse.read

    def late(answer: http.client.HTTPResponse, most: int) -> bytes:
        deadline.passes()
        return read(answer, most)

    monkeypatch.setattr(http.client.HTTPResponse, "read", late)
    monkeypatch.setattr(outgoing, "time", deadline.clock)
    monkeypatch.setattr(outgoing, "threading", SimpleNamespace(Thread=threading.Thread, Timer=deadline.timer))


def asking(total: float = 0.4, most: int = 1000) -> Outgoing:
    return Outgoing(agent="Stint/test", total=total, most=most, allowed=None)


@pytest.mark.parametrize("so_far", [b"", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\nX-Slow: "], ids=len)
def test_a_head_that_drips_is_no_answer(so_far):
    with server(so_far, drip=b"y") as url, pytest.raises(Unreached, match="too long"):
        asking().exchange(url)


def test_a_head_of_endless_lines_is_no_answer():
    with server(b"HTTP/1.1 200 OK\r\n", drip=b"X-More: y\r\n") as url, pytest.raises(Unreached):
        asking().exchange(url)


@pytest.mark.parametrize("head", [b"HTTP/1.1 200 OK\r\n\r\n", b"HTTP/1.0 200 OK\r\n\r\n{}"], ids=len)
def test_a_body_that_drips_and_says_no_length_is_not_whole_though_what_came_could_be_read(
    cut_in_the_body, head
):
    with server(head, drip=b" ") as url:
        reply = asking(total=FOREVER).exchange(url)
    assert reply.status == 200
    assert not reply.whole


SHORT = b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\npart of it"


def test_a_body_that_breaks_off_is_not_whole():
    with server(SHORT) as url:
        assert not asking(total=FOREVER, most=9000).exchange(url).whole


def test_a_body_that_drips_and_is_shorter_than_it_said_is_not_whole(cut_in_the_body):
    with server(SHORT, drip=b"x") as url:
        assert not asking(total=FOREVER, most=9000).exchange(url).whole


@pytest.mark.timing
def test_a_body_that_drips_is_cut_at_its_deadline():
    with server(SHORT, drip=b"x") as url:
        assert not asking(total=allow(3), most=9000).exchange(url).whole


def test_what_comes_in_time_is_whole():
    with server(b"HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\nX-One: 1\r\n\r\nno") as url:
        reply = asking(total=FOREVER).exchange(url)
    assert (reply.status, reply.body, reply.headers["x-one"], reply.whole) == (404, b"no", "1", True)


@pytest.mark.parametrize("host", ["[::1]", "[2001:db8::abcd]"])
def test_an_ipv6_address_is_asked_and_told_which_it_is(host):
    heard: list[bytes] = []
    with server(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", heard=heard) as url:
        here = f"{host}:{urlsplit(url).port}"
        # The machine that the test runs on may have no IPv6.
        outgoing = replace(asking(total=FOREVER), resolve=lambda _host, _port: ["127.0.0.1"])
        assert outgoing.exchange(f"http://{here}/").body == b"ok"
    assert f"\r\nHost: {here}\r\n".encode() in heard[0]


def test_no_more_of_a_body_is_read_than_one_byte_over_what_is_wanted():
    with server(b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 5000) as url:
        assert len(asking(total=FOREVER, most=1000).exchange(url).body) == 1001


@pytest.mark.parametrize("url", ["https://there.example:99999/", "https://[::1", "https:///x"])
def test_what_is_no_address_is_not_reached(url):
    with pytest.raises(Unreached):
        asking().exchange(url)


def test_a_resolver_that_hangs_is_not_waited_for(monkeypatch):
    monkeypatch.setattr("broker.kernel.outgoing.CONNECT_SECONDS", 0.1)
    over = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: over.wait(FOREVER) and [])
    with pytest.raises(Unreached, match="can't be resolved: no response in time"):
        asking().exchange("https://there.example/")
    over.set()


def test_the_password_in_an_address_is_not_sent_as_its_host():
    came = []
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            taken, _ = listening.accept()
            with taken:
                came.append(taken.recv(65536))
                taken.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        port = listening.getsockname()[1]
        asking(total=FOREVER).exchange(f"http://user:secret@127.0.0.1:{port}/a?b=1")
        waits.ends(thread)
    assert came[0].startswith(b"GET /a?b=1 HTTP/1.1\r\n")
    assert b"\r\nHost: 127.0.0.1:%d\r\n" % port in came[0]
    assert b"secret" not in came[0]
