"""The web gateways' shared listener: which site gets a request, and which requests no site gets."""

import asyncio
import json

import pytest

from sessions_app.gateways.core import web
from sessions_app.gateways.core.web import HEAD_BYTES, HEAD_S, IDLE_S, LINGER_S
from tests.support.servers.web_sites import Echo, Listening, listening
from tests.support.waits import comes_true
from tests.support.world.holders import passes, settle

pytestmark = pytest.mark.usefixtures("world")


GET = b"GET /echo/a HTTP/1.1\r\nHost: localhost\r\n\r\n"


@pytest.fixture
def echo() -> Echo:
    return Echo()


@pytest.fixture
def listener(echo):
    """A listener for `/echo/`."""
    return listening({"echo": echo})


async def asks(place: Listening, path: str, host: str = "localhost", more: str = "") -> tuple[int, bytes]:
    """Return the status and body of one GET on a new connection."""
    raw = await place.says(f"GET {path} HTTP/1.1\r\nHost: {host}\r\n{more}Connection: close\r\n\r\n".encode())
    head, _, body = raw.partition(b"\r\n\r\n")
    return int(head.split()[1]), body


@pytest.fixture
def heard(monkeypatch) -> bytearray:
    """The bytes that have arrived at the listener."""
    heard, receive = bytearray(), web._Connection.data_received

    def data_received(connection, data):
        heard.extend(data)
        receive(connection, data)

    monkeypatch.setattr(web._Connection, "data_received", data_received)
    return heard


async def arrives(heard: bytearray, sent: bytes) -> None:
    """Wait until what was sent last has arrived."""
    await comes_true(lambda: heard.endswith(sent))


def problem_of(raw: bytes) -> dict[str, object]:
    head, _, body = raw.partition(b"\r\n\r\n")
    assert b"application/problem+json" in head
    return json.loads(body)


async def test_the_first_segment_of_a_path_names_the_site_and_the_site_gets_all_of_it():
    one, two = Echo(), Echo()
    async with listening({"echo": one, "other": two}) as place:
        assert await asks(place, "/echo/a%2Fb?c=%20d") == (200, b"GET /echo/a%2Fb?c=%20d ")
        assert await asks(place, "/other") == (200, b"GET /other ")
        assert await asks(place, "/healthz?x=1") == (200, b"ok\n")
    assert one.events == ["open web-1", "GET /echo/a%2Fb?c=%20d", "close"]
    assert two.events == ["open web-1", "GET /other", "close"]


@pytest.mark.parametrize("path", ["/", "/%65cho/a", "//echo/a", "/ECHO/a", "/healthz/x"])
async def test_a_path_of_no_site_is_not_found(echo, path, listener):
    raw = await listener.says(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    assert raw.startswith(b"HTTP/1.1 404 ")
    assert problem_of(raw)["code"] == "not_found"
    assert echo.events == ["open web-1"]


async def test_a_public_host_name_brings_every_path_to_its_site():
    async with listening({"echo": Echo(), "other": Echo(frozenset({"shop.example"}))}) as place:
        for host in ("shop.example", "SHOP.example:8443"):
            assert await asks(place, "/healthz", host) == (200, b"GET /healthz ")
        assert (await asks(place, "/healthz", "shop.example.org"))[1] == b"ok\n"


@pytest.mark.parametrize(
    ("raw", "status", "code"),
    [
        (b"GET /echo/a HTTP/1.0\r\nHost: localhost\r\n\r\n", 505, "version_not_supported"),
        (b"GET /echo/a HTTP/1.1\r\n\r\n", 400, "bad_request"),
        (b"GET /echo/a HTTP/1.1\r\nHost: localhost:80@a.example\r\n\r\n", 400, "bad_request"),
        (b"GET /echo/a HTTP/1.1\r\nHost: localhost/a\r\n\r\n", 400, "bad_request"),
        (b"GET http://localhost/echo/a HTTP/1.1\r\nHost: localhost\r\n\r\n", 400, "bad_request"),
        (b"OPTIONS * HTTP/1.1\r\nHost: localhost\r\n\r\n", 400, "bad_request"),
        (b"CONNECT a.example:443 HTTP/1.1\r\nHost: a.example:443\r\n\r\n", 400, "bad_request"),
    ],
)
async def test_what_no_site_can_answer_is_refused_and_the_connection_closed(
    echo, raw, status, code, listener
):
    answer = await listener.says(raw)
    assert int(answer.split()[1]) == status
    assert problem_of(answer)["code"] == code
    assert echo.events == ["open web-1"]


@pytest.mark.parametrize(
    "head",
    [
        b"Host: localhost\r\nHost: other\r\n",
        b"Host: localhost\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n",
        b"Host: localhost\r\n folded\r\n",
        b"Host: localhost\r\nX-Name : a\r\n",
        b"Host: localhost\r\nX: " + b"a" * (HEAD_BYTES + 1) + b"\r\n",
    ],
)
async def test_a_head_that_could_be_read_in_two_ways_reaches_no_site(echo, head, listener):
    answer = await listener.says(b"GET /echo/a HTTP/1.1\r\n" + head + b"\r\n")
    assert int(answer.split()[1]) == 400
    assert problem_of(answer)["title"] == "Bad Request"
    assert echo.events == ["open web-1"]


async def test_a_head_is_bounded_as_a_whole(echo, listener):
    line = "X-{}: " + "a" * 1000 + "\r\n"
    assert (await asks(listener, "/echo/a", more="".join(line.format(n) for n in range(30))))[0] == 200
    assert (await asks(listener, "/echo/b", more="".join(line.format(n) for n in range(34))))[0] == 431
    assert echo.events == ["open web-1", "GET /echo/a"]


async def test_a_head_that_comes_slowly_is_cut_however_often_a_byte_of_it_comes(heard, listener):
    reader, writer = await listener.connect()
    for end in range(1, int(HEAD_S)):
        writer.write(GET[end - 1 : end])
        await arrives(heard, GET[:end])
        await passes(1.0)
    assert not reader.at_eof()
    await passes(1.0)
    assert await reader.read() == b""
    writer.close()


async def test_a_connection_is_kept_between_two_requests_but_not_for_ever_and_the_next_head_must_hurry(
    heard, listener
):
    reader, writer = await listener.connect()
    for _ in range(2):
        writer.write(GET)
        assert b"200 OK" in await reader.readuntil(b"GET /echo/a ")
        await passes(HEAD_S + 1)
    writer.write(GET[:5])
    await arrives(heard, GET[:5])
    await passes(HEAD_S + 1)
    assert await reader.read() == b""
    writer.close()
    reader, writer = await listener.connect()
    writer.write(GET)
    await reader.readuntil(b"GET /echo/a ")
    await passes(IDLE_S + 1)
    assert await reader.read() == b""
    writer.close()


async def test_a_body_is_passed_on_as_it_was_sent_and_one_that_nobody_reads_is_waited_for_only_briefly(
    heard, listener
):
    packed = b"\x1f\x8b not unpacked"
    head = b"POST /echo/a HTTP/1.1\r\nHost: localhost\r\nContent-Encoding: gzip\r\nConnection: close\r\n"
    raw = await listener.says(head + b"Content-Length: %d\r\n\r\n" % len(packed) + packed)
    assert raw.endswith(packed)
    reader, writer = await listener.connect()
    writer.write(b"POST /echo/unread HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n\r\nabc")
    assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 ")
    late = b"thrown away, and no reset for it"
    writer.write(late)
    await arrives(heard, late)
    await passes(LINGER_S + 1)
    await reader.read()
    writer.close()


async def test_a_body_may_take_longer_than_a_head(heard, listener):
    reader, writer = await listener.connect()
    head = b"POST /echo/a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\nConnection: close\r\n\r\n"
    for piece in (head, b"a", b"b", b"c"):
        writer.write(piece)
        await arrives(heard, piece)
        await passes(HEAD_S + 1)
    writer.write(b"d")
    assert (await reader.read()).endswith(b"POST /echo/a abcd")
    writer.close()


async def test_a_site_that_fails_says_nothing_of_why_and_the_next_request_is_answered(listener):
    status, body = await asks(listener, "/echo/fails")
    assert status == 500
    assert b"secret" not in body
    assert (await asks(listener, "/echo/a"))[0] == 200


async def test_a_request_whose_client_is_gone_is_canceled(echo, listener):
    _, writer = await listener.connect()
    writer.write(b"GET /echo/wait HTTP/1.1\r\nHost: localhost\r\n\r\n")
    await comes_true(lambda: "GET /echo/wait" in echo.events)
    await settle()
    assert "canceled" not in echo.events
    writer.transport.abort()
    await comes_true(lambda: "canceled" in echo.events)


async def test_closing_stops_listening_and_drops_what_is_left(echo, listener):
    reader, writer = await listener.connect()
    writer.write(b"GET /echo/wait HTTP/1.1\r\nHost: localhost\r\n\r\n")
    await comes_true(lambda: "GET /echo/wait" in echo.events)
    closing = asyncio.create_task(listener.web.close())
    await settle()
    with pytest.raises(ConnectionRefusedError):
        await listener.connect()
    for _ in range(4):
        await passes(0.2)
    await closing
    assert await reader.read() == b""
    writer.close()
    assert echo.events[-2:] == ["canceled", "close"]


@pytest.mark.parametrize(
    "raw",
    [
        GET,
        GET.replace(b"/echo/a", b"/nothing"),
        GET.replace(b"/echo/a", b"/echo/fails"),
        b"nonsense\r\n\r\n",
        b"GET /echo/a HTTP/1.1\r\nHost: localhost\r\nX-Name : a\r\n\r\n",
        b"POST /echo/a HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    ],
)
async def test_no_answer_names_the_software_that_it_is_from(raw, listener):
    reader, writer = await listener.connect()
    writer.write(raw)
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
    writer.close()
    assert [line for line in head.split("\r\n") if line.startswith("server:")] == ["server: stint"]
    assert not any(word in head for word in ("python", "aiohttp"))
