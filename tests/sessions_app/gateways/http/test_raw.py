"""Requests that two servers could read differently: the gateway refuses them, or passes exactly one.

The forms are those of the published work on request smuggling: CL.TE, TE.CL, TE.TE, CL.0, obs-fold, bare LF
and CR, chunk extensions, h2c upgrades, absolute form and CONNECT.
"""

import pytest

HIDDEN = b"GET /prices/S-42?currency=USD HTTP/1.1\r\nHost: localhost\r\n\r\n"


def request(
    *lines: bytes, body: bytes = b"", first: bytes = b"PUT /http/prices/prices/S-42 HTTP/1.1"
) -> bytes:
    head = b"\r\n".join((first, b"Host: localhost", b"Content-Type: application/json", *lines))
    return head + b"\r\nAuthorization: Bearer TOKEN\r\n\r\n" + body


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


JSON = b'{"price":9}'
CHUNKED = chunk(JSON) + b"0\r\n\r\n"
SMUGGLED = {
    "CL.TE": request(b"Content-Length: 6", b"Transfer-Encoding: chunked", body=b"0\r\n\r\nX" + HIDDEN),
    "TE.CL": request(b"Transfer-Encoding: chunked", b"Content-Length: 4", body=chunk(HIDDEN) + b"0\r\n\r\n"),
    "TE.TE twice": request(
        b"Transfer-Encoding: chunked", b"Transfer-Encoding: identity", body=CHUNKED + HIDDEN
    ),
    "TE.TE list": request(b"Transfer-Encoding: identity, chunked", body=CHUNKED + HIDDEN),
    "TE.TE unknown": request(b"Transfer-Encoding: xchunked", body=CHUNKED + HIDDEN),
    "TE.TE space": request(b"Transfer-Encoding : chunked", body=CHUNKED + HIDDEN),
    "TE.TE tab": request(b"Transfer-Encoding:\tchunked\x0b", body=CHUNKED + HIDDEN),
    "TE.TE quoted": request(b'Transfer-Encoding: "chunked"', body=CHUNKED + HIDDEN),
    "TE.TE folded": request(b"Transfer-Encoding:\r\n chunked", body=CHUNKED + HIDDEN),
    "TE name with a leading space": request(
        b"X: 1", b" Transfer-Encoding: chunked", b"Content-Length: 11", body=JSON
    ),
    "CL.CL": request(b"Content-Length: 11", b"Content-Length: 0", body=JSON + HIDDEN),
    "CL list": request(b"Content-Length: 11, 11", body=JSON),
    "CL with a sign": request(b"Content-Length: +11", body=JSON),
    "CL in hexadecimal": request(b"Content-Length: 0xb", body=JSON),
    "CL with spaces": request(b"Content-Length: 1 1", body=JSON),
    "CL in digits of others": request("Content-Length: \u0661\u0661".encode(), body=JSON),
    "obs-fold": request(b"X-Tenant: a\r\n b", b"Content-Length: 11", body=JSON),
    "bare LF in the head": request(b"X-A: b\nContent-Length: 11", body=JSON),
    "bare CR in the head": request(b"X-A: b\rContent-Length: 11", body=JSON),
    "bare LF line": (
        b"PUT /http/prices/prices/S-42 HTTP/1.1\nHost: localhost\nAuthorization: Bearer TOKEN\n\n"
    ),
    "NUL in a value": request(b"Accept: a\0b", b"Content-Length: 11", body=JSON),
    "name with a NUL": request(b"Acc\0ept: a", b"Content-Length: 11", body=JSON),
    "name without a colon": request(b"Accept", b"Content-Length: 11", body=JSON),
    "empty name": request(b": a", b"Content-Length: 11", body=JSON),
    "chunk with a bare LF": request(b"Transfer-Encoding: chunked", body=b"b\n" + JSON + b"\r\n0\r\n\r\n"),
    "chunk of a negative size": request(
        b"Transfer-Encoding: chunked", body=b"-1\r\n" + JSON + b"\r\n0\r\n\r\n"
    ),
    "chunk of a huge size": request(b"Transfer-Encoding: chunked", body=b"fffffffffffffffff\r\n" + JSON),
    "chunk with more than its size": request(
        b"Transfer-Encoding: chunked", body=b"2\r\n" + JSON + b"\r\n0\r\n\r\n"
    ),
    "chunk with 0x": request(b"Transfer-Encoding: chunked", body=b"0xb\r\n" + JSON + b"\r\n0\r\n\r\n"),
    "h2c upgrade": request(
        b"Upgrade: h2c",
        b"Connection: Upgrade, HTTP2-Settings",
        b"HTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA",
        b"Content-Length: 11",
        body=JSON,
    ),
    "HTTP/2 preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "absolute form": request(
        b"Content-Length: 11", body=JSON, first=b"PUT http://localhost/http/prices/prices/S-42 HTTP/1.1"
    ),
    "CONNECT": (
        b"CONNECT 127.0.0.1:PORT HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer TOKEN\r\n\r\n" + HIDDEN
    ),
    "asterisk": request(b"Content-Length: 11", body=JSON, first=b"OPTIONS * HTTP/1.1"),
    "HTTP/1.0": request(b"Content-Length: 11", body=JSON, first=b"PUT /http/prices/prices/S-42 HTTP/1.0"),
    "HTTP/0.9": b"GET /http/prices/prices/S-42\r\n",
    "tab in the line": request(
        b"Content-Length: 11", body=JSON, first=b"PUT\t/http/prices/prices/S-42 HTTP/1.1"
    ),
    "another host": request(b"Content-Length: 11", body=JSON).replace(b"localhost", b"evil.example"),
    "two hosts": request(b"Host: other", b"Content-Length: 11", body=JSON),
    "no host": request(b"Content-Length: 11", body=JSON).replace(b"Host: localhost\r\n", b""),
    "encoded slash": request(
        b"Content-Length: 11", body=JSON, first=b"PUT /http/prices/prices%2FS-42 HTTP/1.1"
    ),
    "dots": request(
        b"Content-Length: 11", body=JSON, first=b"PUT /http/other/../prices/prices/S-42 HTTP/1.1"
    ),
    "a path in bytes": request(
        b"Content-Length: 11", body=JSON, first="PUT /http/prices/prices/Ş-42 HTTP/1.1".encode()
    ),
    "huge header": request(b"Accept: " + b"a" * 40_000, b"Content-Length: 11", body=JSON),
    "many headers": request(*(b"X-%d: a" % at for at in range(300)), b"Content-Length: 11", body=JSON),
    "two tokens": request(b"Authorization: Bearer other", b"Content-Length: 11", body=JSON),
    "two types": request(b"Content-Type: text/plain", b"Content-Length: 11", body=JSON),
}
ONE = {
    "two spaces": request(b"Content-Length: 11", body=JSON, first=b"PUT  /http/prices/prices/S-42 HTTP/1.1"),
    "chunk extension": request(b"Transfer-Encoding: chunked", body=b"b;a=b\r\n" + JSON + b"\r\n0\r\n\r\n"),
    "trailer": request(
        b"Transfer-Encoding: chunked", body=chunk(JSON) + b"0\r\nX-Tenant: evil\r\nHost: evil\r\n\r\n"
    ),
    "TE in capitals": request(b"Transfer-Encoding: CHUNKED", body=CHUNKED),
    "headers named by Connection": request(
        b"Connection: close, accept", b"Accept: a", b"Content-Length: 11", body=JSON
    ),
}


def asked(place, grant, raw: bytes, *, answers: int = 0) -> bytes:
    token, port = place.token(grant).encode(), str(place.target.port).encode()
    return place.raw(raw.replace(b"TOKEN", token).replace(b"PORT", port), timeout=1.5, answers=answers)


@pytest.mark.parametrize("form", SMUGGLED)
def test_what_two_servers_could_read_differently_reaches_no_target(place, price_grant, form):
    before = len(place.target.requests)
    said = asked(place, price_grant, SMUGGLED[form])
    assert b" 200 " not in said.split(b"\r\n")[0], said[:300]
    assert len(place.target.requests) == before


@pytest.mark.parametrize("form", ONE)
def test_what_is_odd_and_clear_is_one_request_that_is_written_anew(place, price_grant, form):
    before = len(place.target.requests)
    said = asked(place, price_grant, ONE[form], answers=1)
    assert said.startswith(b"HTTP/1.1 200"), said[:300]
    assert len(place.target.requests) == before + 1
    came = place.target.last()
    assert came.body == JSON
    assert came.header("content-length") == "11"
    assert not {"transfer-encoding", "trailer", "x-tenant", "connection"} & {
        name.lower() for name, _ in came.headers
    }


def test_two_requests_in_one_piece_are_two_and_each_is_decided(place, price_grant):
    before = len(place.target.requests)
    one = request(b"Content-Length: 11", body=JSON)
    other = request(b"Content-Length: 12", body=b'{"price":99}').replace(b"S-42", b"S-41")
    said = asked(place, price_grant, one + other, answers=2)
    assert said.count(b"HTTP/1.1 200") == 1
    assert said.count(b"HTTP/1.1 403") == 1
    assert len(place.target.requests) == before + 1
