"""`stint tunnel` for HTTP, by curl without a token, through the real gateway."""

import asyncio
import contextlib
import http.client
import json
import os
import socket
import ssl
import subprocess

import aiohttp
import pytest

from broker.cli import peers
from broker.cli.webtunneling import Access, WebTunnel
from tests.support.servers.local_ports import served

PRICE = "/prices/S-42"


def tunnel(place, token: str, renewed: str = "", **options: str) -> contextlib.AbstractContextManager[int]:
    """A tunnel until the block ends, as its port."""

    async def renew() -> Access:
        return Access(f"{place.base}/http/prices", renewed or token)

    context = ssl.create_default_context(cadata=place.authority)
    return served(WebTunnel(Access(f"{place.base}/http/prices", token), renew, context, **options))


def curl(port: int, path: str, *options: str) -> tuple[int, str]:
    """Ask the tunnel with curl. Returns the status and the body."""
    asked = ["curl", "-sS", "-m", "60", "-w", "\n%{http_code}", *options, f"http://127.0.0.1:{port}{path}"]
    done = subprocess.run(asked, capture_output=True, text=True, timeout=90, check=False)
    body, _, status = done.stdout.rpartition("\n")
    assert done.returncode == 0, done.stderr
    return int(status), body


def code_of(port: int, *headers: str, path: str = PRICE) -> tuple[int, str]:
    """The status of a request with these headers, and the title of its refusal."""
    status, body = curl(port, path, *(word for header in headers for word in ("-H", header)))
    return status, json.loads(body).get("title", "")


def test_requests_get_the_token_and_refusals_pass_as_they_are(place, price_grant):
    with tunnel(place, place.token(price_grant)) as port:
        status, body = curl(
            port, f"{PRICE}?currency=EUR", "-H", "Authorization: Bearer own", "-H", "Cookie: a=b"
        )
        assert (status, json.loads(body)["sku"]) == (200, "S-42")
        came = place.target.last()
        assert "own" not in str(came.headers)
        changed = curl(port, PRICE, "-X", "PUT", "--json", '{"price": 9}')
        assert changed[0] == 200
        status, body = curl(port, "/prices/S-7")
        assert (status, json.loads(body)["code"]) == (403, "request_refused")


def test_redirects_lead_through_the_tunnel(place, price_grant, said):
    said["/tenants/S-42"] = {"status": 302, "headers": {"Location": PRICE}}
    with tunnel(place, place.token(price_grant)) as port:
        status, body = curl(port, "/tenants/S-42", "-H", "X-Tenant: acme", "-L")
        assert (status, json.loads(body)["sku"]) == (200, "S-42")


def test_bodies_stream_both_ways(place, price_grant, tmp_path):
    image = tmp_path / "photo.png"
    image.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(3_000_000))
    with tunnel(place, place.token(price_grant)) as port:
        sent = ("-T", str(image), "-H", "Content-Type: image/png")
        status, body = curl(port, "/photos/S-42", *sent)
        assert (status, json.loads(body)["bytes"]) == (200, image.stat().st_size)
        assert curl(port, "/photos/S-42", *sent, "-H", "Transfer-Encoding: chunked")[0] == 411
        line = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        line.request("GET", "/watch/S-42", headers={"Accept": "text/event-stream"})
        answer = line.getresponse()
        assert answer.read1(65536).startswith(b"data:"), "the first event comes before the stream ends"
        line.close()


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        (["Host: evil.example"], 421),
        (["Origin: https://evil.example"], 403),
        (["Origin: null"], 403),
        (["Origin: http://127.0.0.1:1"], 403),
        (["Sec-Fetch-Site: cross-site"], 403),
        (["Sec-Fetch-Site: same-site"], 403),
    ],
)
def test_requests_that_another_site_makes_a_browser_send_are_refused(place, price_grant, headers, status):
    before = len(place.target.requests)
    with tunnel(place, place.token(price_grant)) as port:
        assert code_of(port, *headers)[0] == status
        assert len(place.target.requests) == before
        assert code_of(port, f"Host: localhost:{port}", f"Origin: http://localhost:{port}")[0] == 200


def test_a_token_that_was_replaced_is_renewed_once(place, price_grant):
    with tunnel(place, "sgt_" + "x" * 43, place.token(price_grant)) as port:
        assert code_of(port)[0] == 200
    with tunnel(place, "sgt_" + "x" * 43) as port:
        assert code_of(port)[0] == 401


def test_with_a_password_only_those_who_know_it_can_ask(place, price_grant):
    with tunnel(place, place.token(price_grant), password="local") as port:  # a test's own
        assert curl(port, PRICE, "-u", "stint:local")[0] == 200
        assert curl(port, PRICE, "-u", "stint:other")[0] == 401
        assert code_of(port) == (401, "The password is not the one that `stint tunnel` printed.")


def test_programs_of_other_accounts_cannot_ask(place, price_grant, monkeypatch):
    monkeypatch.setattr(peers, "uid_of", lambda *_: os.getuid() + 1)
    with tunnel(place, place.token(price_grant)) as port:
        assert code_of(port) == (403, "Only the account that started the tunnel can connect.")


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"GET http://127.0.0.1/ HTTP/1.1\r\nHost: {}\r\n\r\n", 400),
        (b"GET / HTTP/1.0\r\nHost: {}\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n\r\n", 421),
        (b"GET / HTTP/1.1\r\nHost: {}\r\nHost: {}\r\n\r\n", 421),
        (b"GET / HTTP/1.1\r\nHost: {}\r\nA: b\r\n c\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost : {}\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: {}\r\nA: b\nC: d\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: {}\r\nA: " + b"x" * 70_000 + b"\r\n\r\n", 431),
    ],
)
def test_what_is_not_one_plain_request_is_refused(place, price_grant, head, status):
    with (
        tunnel(place, place.token(price_grant)) as port,
        socket.create_connection(("127.0.0.1", port), timeout=60) as line,
    ):
        line.sendall(head.replace(b"{}", f"127.0.0.1:{port}".encode()))
        assert line.recv(100).startswith(f"HTTP/1.1 {status} ".encode())


def test_a_websocket_passes_both_ways(place, price_grant):
    async def talked(port: int) -> str:
        async with aiohttp.ClientSession() as client:
            async with client.ws_connect(f"http://127.0.0.1:{port}/socket/S-42") as line:
                await line.send_str("hello")
                return str(await line.receive_str(timeout=60))

    with tunnel(place, place.token(price_grant)) as port:
        assert "hello" in asyncio.run(talked(port))
