"""Responses to the client: what passes, what does not, and where their addresses lead."""

import gzip
import json

import pytest

from tests.support.servers.http_target import SECRET
from tests.support.waits import eventually

PRICE, PUBLIC = "/prices/S-42", "/public/S-42"


def test_headers_of_the_connection_cookies_and_the_credential_do_not_pass(place, price_grant, said):
    said[PRICE] = {
        "text": "yes",
        "headers": {
            "Set-Cookie": "a=b",
            "Connection": "x-hop",
            "X-Hop": "1",
            "Keep-Alive": "1",
            "Alt-Svc": 'h2=":443"',
            "X-Echo": f"you sent Bearer {SECRET}",
            "X-Kept": "kept",
            "Strict-Transport-Security": "max-age=1",
            "WWW-Authenticate": "Basic",
        },
    }
    reply = place.ask(price_grant, f"GET {PRICE}")
    assert reply.body == b"yes"
    names = {name.lower() for name in reply.headers}
    assert not names & {
        "set-cookie",
        "x-hop",
        "keep-alive",
        "alt-svc",
        "strict-transport-security",
        "www-authenticate",
    }
    assert reply.headers["x-echo"] == "you sent (removed)"
    assert reply.headers["x-kept"] == "kept"


def test_no_header_of_an_answer_has_the_credential_in_another_spelling(place, price_grant, said):
    numbers = "".join(f"%{byte:02x}" for byte in SECRET.encode())
    escaped = "".join(f"\\u{ord(char):04X}" for char in SECRET)
    said[PRICE] = {
        "status": 302,
        "headers": {
            "Location": f"/prices/S-42?key={numbers}&next={numbers.upper()}",
            "X-Json": f'{{"key": "{escaped}"}}',
            "X-Form": f"key=Bearer+{SECRET}",
            f"X-{SECRET}": "1",
            "Link": f"</prices?key={numbers}>; rel=next",
        },
    }
    reply = place.ask(price_grant, f"GET {PRICE}")
    assert reply.headers["location"] == f"{place.base}/http/prices/prices/S-42?key=(removed)&next=(removed)"
    assert reply.headers["x-json"] == '{"key": "(removed)"}'
    assert reply.headers["x-form"] == "key=(removed)"
    assert reply.headers["link"] == "</prices?key=(removed)>; rel=next"
    assert not any(SECRET in name.lower() for name in reply.headers)


def test_an_answer_with_a_huge_head_is_withheld_however_many_lines_it_has(place, price_grant, said):
    for lines in (30, 40):
        said[PRICE] = {"text": "yes", "headers": {f"X-{number}": "%25" * 330 for number in range(lines)}}
        reply = place.ask(price_grant, f"GET {PRICE}")
        if lines == 30:
            assert (reply.status, reply.body) == (200, b"yes")
    assert reply.status == 502
    assert "a head of more than 32 KB" in reply.json["title"]


@pytest.mark.parametrize(
    ("location", "leads_to"),
    [
        ("https://127.0.0.1:{port}/prices/S-7?a=b#c", "{base}/http/prices/prices/S-7?a=b#c"),
        ("//127.0.0.1:{port}/prices/S-7", "{base}/http/prices/prices/S-7"),
        ("/prices/S-7", "{base}/http/prices/prices/S-7"),
        ("S-7", "S-7"),
        ("https://example.com/x", "https://example.com/x"),
    ],
)
def test_addresses_of_the_target_lead_through_the_gateway(place, price_grant, said, location, leads_to):
    said[PRICE] = {"status": 302, "headers": {"Location": location.format(port=place.target.port)}}
    reply = place.ask(price_grant, f"GET {PRICE}")
    assert reply.status == 302
    assert reply.headers["location"] == leads_to.format(base=place.base)


def test_only_listed_fields_of_an_answer_pass(place, price_grant, said):
    reply = place.ask(price_grant, f"GET {PUBLIC}")
    assert reply.status == 200, reply.body
    assert reply.json == {"price": 12, "account": {"owner": "ada"}}
    assert place.target.last().header("accept-encoding") == "identity"
    said[PUBLIC] = {
        "text": json.dumps({"price": 1}),
        "content_type": "application/json",
        "headers": {"X-Iban": "NL00"},
    }
    assert "x-iban" not in place.ask(price_grant, f"GET {PUBLIC}").headers


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        ({"text": "price: 12"}, 502),
        ({"text": "{no", "content_type": "application/json"}, 502),
        (
            {
                "body": gzip.compress(b"{}"),
                "headers": {"Content-Encoding": "gzip", "Content-Type": "application/json"},
            },
            502,
        ),
        ({"text": "no such price, NL00", "status": 404}, 404),
        ({"text": json.dumps({"price": "x" * 11_000}), "content_type": "application/json"}, 502),
    ],
)
def test_an_answer_whose_fields_cannot_be_told_apart_is_withheld(place, price_grant, said, answer, status):
    said[PUBLIC] = answer
    reply = place.ask(price_grant, f"GET {PUBLIC}")
    assert reply.status == status
    assert reply.json["code"] == "withheld"
    assert b"NL00" not in reply.body


def test_an_answer_larger_than_its_limit_does_not_pass(place, price_grant, said):
    said["/small/S-42"] = {"body": b"x" * 1001}
    reply = place.ask(price_grant, "GET /small/S-42")
    assert reply.status == 502
    assert "larger than 1000 bytes" in reply.json["title"]
    eventually(lambda: price_grant.runs.get().state == "cut")


def test_an_answer_that_takes_too_long_does_not_pass(place, price_grant):
    reply = place.ask(price_grant, "GET /slow/S-42?seconds=30")
    assert reply.status == 504
    eventually(lambda: price_grant.runs.get().state == "cut")
    eventually(lambda: not place.target.under_way["slow"])


def test_an_event_stream_passes_only_where_the_command_says_so(place, price_grant, said):
    said[PRICE] = {"text": "data: x\n\n", "content_type": "text/event-stream"}
    reply = place.ask(price_grant, f"GET {PRICE}")
    assert reply.status == 502
    assert "stream: true" in reply.json["title"]


@pytest.mark.parametrize(("request_line", "body"), [(f"GET {PRICE}", None), (f"PUT {PRICE}", {"price": 9})])
def test_a_request_whose_connection_breaks_off_is_not_sent_again_and_may_have_been_carried_out(
    place, price_grant, request_line, body
):
    # Another query: a repeat of what is in the record is no run of its own.
    assert place.ask(price_grant, f"GET {PRICE}?currency=USD").status == 200
    before = len(place.target.requests)
    place.target.drops.add(PRICE)
    try:
        reply = place.ask(price_grant, request_line, body)
    finally:
        place.target.drops.clear()
    assert (reply.status, reply.json["code"]) == (502, "unanswered")
    assert (
        "closed the connection, and the target may have carried out the request: check" in reply.json["title"]
    )
    assert len(place.target.requests) == before + 1
    eventually(lambda: price_grant.runs.latest("pk").state == "cut")


def test_a_header_in_other_bytes_than_utf_8_keeps_no_answer_back(place, price_grant, said):
    said[PRICE] = {
        "wire": b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nX-Name: caf\xe9\r\nX-Place: caf\xc3\xa9\r\n\r\nyes"
    }
    reply = place.ask(price_grant, f"GET {PRICE}")
    assert (reply.status, reply.body) == (200, b"yes")
    assert reply.headers["x-name"] == "caf?"
    assert reply.headers["x-place"].encode("latin-1") == b"caf\xc3\xa9"
    eventually(lambda: price_grant.runs.get().state == "done")
