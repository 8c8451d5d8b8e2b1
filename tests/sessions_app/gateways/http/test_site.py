"""Requests through the gateway: what reaches the application, and what its holder sees."""

import contextlib
import hashlib
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from joserfc.jwk import ECKey

from broker.audit.models import AuditEntry
from broker.demo.ports import free_port
from sessions_app.gateways.http.carried import PIECE_S
from sessions_app.gateways.http.exchange import SOON_S
from sessions_app.gateways.http.hosts import EVERY_S
from sessions_app.models import Cluster
from sessions_app.operations.sessions.decide_hold import decide_hold
from sessions_app.policy.commands.http.headers import OVERRIDES
from tests.sessions_app.gateways.http.test_ending import GOOD
from tests.sessions_app.gateways.http.test_proofs import proof
from tests.support.pace import allow
from tests.support.servers.http_place import HEADER, cluster, now
from tests.support.servers.http_target import SECRET, Target
from tests.support.waits import eventually
from tests.support.world.acts import last

PNG = bytes(range(256)) * 40


def finished(grant) -> dict:
    """Return the record's entry about the end of the grant's only run."""
    eventually(lambda: grant.runs.get().ended_at)
    entries = AuditEntry.objects.filter(event="command.finished", object_ref=grant.ref)
    return entries.get().data


def multipart(*parts: tuple[str, bytes]) -> tuple[bytes, str]:
    """Return a multipart form with these headers and contents, and its media type."""
    body = b"".join(b"--bound\r\n%b\r\n\r\n%b\r\n" % (head.encode(), content) for head, content in parts)
    return body + b"--bound--\r\n", "multipart/form-data; boundary=bound"


FORM = {"Content_Type": "application/x-www-form-urlencoded"}
METHOD_FIELDS = ("_method", "X-HTTP-Method-Override")


def in_parts(name: str) -> tuple[bytes, dict[str, str]]:
    """Return a multipart form with a note and this field, and its headers."""
    fields = (("text", b"a"), (name, b"DELETE"))
    parts = ((f'Content-Disposition: form-data; name="{one}"', value) for one, value in fields)
    body, media = multipart(*parts)
    return body, {"Content_Type": media}


# Requests that pass


def test_what_is_allowed_reaches_the_target_with_the_targets_credential_and_nothing_unlisted(
    place, price_grant
):
    more = {"X_Other": "x", "Cookie": "a=b", "X_Forwarded_For": "1.2.3.4", "Accept": "a/b"}
    reply = place.ask(price_grant, "GET /prices/S-42?currency=EUR", **more)
    assert reply.status == 200, reply.body
    assert reply.json["price"] == 12
    came = place.target.last()
    assert came.path == "/prices/S-42?currency=EUR"
    assert came.header("authorization") == f"Bearer {SECRET}"
    assert came.header("host") == f"127.0.0.1:{place.target.port}"
    assert {name.lower() for name, _ in came.headers} == {
        "accept",
        "accept-encoding",
        "authorization",
        "host",
        "x-request-id",
    }
    assert came.header("x-request-id") == last("command.allowed", price_grant.ref).data["request_id"]


def test_the_record_has_the_status_and_the_sizes_and_digests_of_both_bodies(place, price_grant):
    reply = place.ask(price_grant, "PUT /prices/S-42", {"price": 9})
    assert finished(price_grant)["exchanged"] == {
        "status": 200,
        "body_bytes": 11,
        "body_sha256": hashlib.sha256(b'{"price":9}').hexdigest(),
        "answer_bytes": len(reply.body),
        "answer_sha256": hashlib.sha256(reply.body).hexdigest(),
    }


@pytest.mark.parametrize(
    ("line", "media", "body", "sent"),
    [
        ("PUT /prices/S-42", "application/json", b'{ "price" :\n 7 }', b'{"price":7}'),
        (
            "POST /notes/S-42",
            f"{FORM['Content_Type']}; charset=utf-8",
            b"text=a+b%26c&page=1",
            b"text=a+b%26c&page=1",
        ),
        ("PUT /photos/S-42", "image/png", PNG * 400, PNG * 400),
    ],
    ids=["JSON is written as it was read", "a form is written anew", "an upload passes"],
)
def test_a_body_is_sent_as_it_was_decided_with_its_digest_in_the_record(
    place, price_grant, line, media, body, sent
):
    reply = place.ask(price_grant, line, body, Content_Type=media)
    assert reply.status == 200, reply.body
    came = place.target.last()
    assert (came.body, came.header("content-type")) == (sent, media.partition(";")[0])
    assert finished(price_grant)["exchanged"]["body_sha256"] == hashlib.sha256(sent).hexdigest()


def test_a_multipart_form_is_rebuilt_part_by_part(place, price_grant):
    photo = 'Content-Disposition: form-data; name="photo"; filename="a.png"\r\nContent-Type: image/png'
    body, media = multipart(('Content-Disposition: form-data; name="text"', b"hello"), (photo, PNG))
    reply = place.ask(price_grant, "POST /notes/S-42", body + b"epilogue", Content_Type=media)
    assert reply.status == 200, reply.body
    came = place.target.last()
    boundary = (came.header("content-type") or "").partition("boundary=")[2]
    assert boundary not in ("", "bound")
    assert came.body.count(boundary.encode()) == 3
    assert PNG in came.body
    assert b"epilogue" not in came.body
    assert finished(price_grant)["exchanged"]["body_sha256"] == hashlib.sha256(came.body).hexdigest()


def test_a_listed_header_passes_with_a_listed_value(place, price_grant):
    assert place.ask(price_grant, "GET /tenants/S-42", X_Tenant="acme").status == 200
    assert place.target.last().header("x-tenant") == "acme"
    assert place.ask(price_grant, "GET /tenants/S-42", X_Tenant="other").status == 403
    assert place.ask(price_grant, "GET /tenants/S-42").status == 403


def test_a_head_has_no_body_and_the_length_of_what_would_come(place, price_grant):
    reply = place.ask(price_grant, "HEAD /prices/S-42")
    assert reply.status == 200
    assert reply.body == b""
    assert int(reply.headers["content-length"]) > 0


def test_a_client_that_waits_for_a_go_ahead_gets_it_only_if_a_body_may_come(place, price_grant):
    head = (
        "PUT /http/prices{path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\nExpect:"
        " 100-continue\r\n"
    )
    head += "Content-Type: application/json\r\nContent-Length: 11\r\nConnection: close\r\n\r\n"
    token = place.token(price_grant)
    with place.connect() as line:
        line.sendall(head.format(path="/prices/S-42", token=token).encode())
        assert line.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        line.sendall(b'{"price":8}')
        assert line.recv(100).startswith(b"HTTP/1.1 200")
    with place.connect() as line:
        line.sendall(head.format(path="/flood/S-42", token=token).encode())
        assert line.recv(100).startswith(b"HTTP/1.1 403")


def test_small_reads_that_repeat_are_counted_and_each_reaches_the_target(place, price_grant):
    before = len(place.target.requests)
    assert place.ask(price_grant, "GET /prices/S-42").status == 200
    eventually(lambda: price_grant.runs.get().state == "done")
    quick = 0
    for _ in range(4):
        began = time.monotonic()
        assert place.ask(price_grant, "GET /prices/S-42").status == 200
        quick += time.monotonic() - began < SOON_S
    assert len(place.target.requests) == before + 5
    # A request that takes long, as on a busy machine, becomes a run.
    eventually(lambda: quick <= counted(price_grant) <= 4)


def counted(grant) -> int:
    """Return the number of repeats in the record."""
    entries = AuditEntry.objects.filter(event="command.allowed", object_ref=grant.ref)
    return sum(entry.data.get("times", 0) for entry in entries)


def runs_of(grant, number: int) -> list:
    """Return the runs of a grant once this many have ended, oldest first."""
    eventually(lambda: grant.runs.exclude(ended_at=None).count() >= number)
    runs = list(grant.runs.order_by("id"))
    assert len(runs) == number, [run.state for run in runs]
    return runs


def exchanged(grant) -> list[dict]:
    """Return the record's entries about the ends of a grant's runs, oldest first."""
    entries = AuditEntry.objects.filter(event="command.finished", object_ref=grant.ref).order_by("seq")
    return [entry.data["exchanged"] for entry in entries]


def test_a_part_of_an_answer_does_not_hide_the_whole(place, price_grant, said):
    said["/prices/S-42"] = {"status": 206, "body": b"x"}
    assert place.ask(price_grant, "GET /prices/S-42", Range="bytes=0-0").status == 206
    runs_of(price_grant, 1)
    said["/prices/S-42"] = {"body": PNG * 20}
    assert place.ask(price_grant, "GET /prices/S-42").status == 200
    runs_of(price_grant, 2)
    assert exchanged(price_grant)[1]["answer_sha256"] == hashlib.sha256(PNG * 20).hexdigest()


def test_a_repeat_whose_answer_is_large_or_a_failure_is_a_run_of_its_own(place, price_grant, said):
    assert place.ask(price_grant, "GET /prices/S-42").status == 200
    runs_of(price_grant, 1)
    said["/prices/S-42"] = {"body": PNG * 20}
    assert place.ask(price_grant, "GET /prices/S-42").body == PNG * 20
    assert runs_of(price_grant, 2)[1].output_bytes == len(PNG) * 20
    said["/prices/S-42"] = {"status": 500}
    assert place.ask(price_grant, "GET /prices/S-42").status == 500
    runs_of(price_grant, 3)
    assert [one["status"] for one in exchanged(price_grant)] == [200, 200, 500]
    assert counted(price_grant) == 0


def test_a_repeat_that_takes_long_can_be_seen_and_cut(place, price_grant):
    assert place.ask(price_grant, "GET /prices/S-42").status == 200
    runs_of(price_grant, 1)
    place.target.late["/prices/S-42"] = 60
    try:
        with ThreadPoolExecutor() as asking:
            asked = asking.submit(place.ask, price_grant, "GET /prices/S-42")
            eventually(lambda: price_grant.runs.filter(state="running").count() == 1)
            place.end(price_grant)
            assert asked.result(timeout=30).status == 403
        assert runs_of(price_grant, 2)[1].state == "cut"
    finally:
        place.target.late.clear()


def test_a_cluster_has_a_host_of_its_own(place, price_grant, said):
    said["/prices/S-42"] = {"status": 302, "headers": {"Location": "/prices/S-7"}}
    head = (
        "GET /prices/S-42 HTTP/1.1\r\nHost: prices.example.com\r\nAuthorization: Bearer"
        f" {place.token(price_grant)}\r\n\r\n"
    )
    answer = place.raw(head.encode(), timeout=2, answers=1)
    assert answer.startswith(b"HTTP/1.1 302"), answer
    assert b"https://prices.example.com/prices/S-7\r\n" in answer


def test_no_cluster_takes_the_gateways_own_host_over(place, price_grant):
    other = Cluster.objects.get(name="prices")
    other.pk, other.name, other.connection = None, "other", {**other.connection, "public_host": "localhost"}
    other.save()
    try:
        time.sleep(allow(EVERY_S) + 1)
        assert place.ask(price_grant, "GET /prices/S-42").status == 200
    finally:
        other.delete()


def test_a_token_that_is_bound_to_a_key_needs_its_proof_for_this_address(place, price_grant):
    key = ECKey.generate_key("P-256")
    token = place.token(price_grant, jkt=key.thumbprint())
    url = f"{place.base}/http/prices/prices/S-42"
    plain = place.ask(None, "GET /prices/S-42", Authorization=f"DPoP {token}")
    assert plain.status == 401
    assert "invalid_dpop_proof" in plain.headers["www-authenticate"]
    made = proof(key, token, now=time.time(), htu=url)
    first = place.ask(None, "GET /prices/S-42?currency=EUR", Authorization=f"DPoP {token}", DPoP=made)
    assert first.status == 200
    again = place.ask(None, "GET /prices/S-42", Authorization=f"DPoP {token}", DPoP=made)
    assert (again.status, again.json["detail"]) == (401, "the proof was already used.")
    other = proof(key, token, now=time.time(), htu=f"https://127.0.0.1:{place.target.port}/prices/S-42")
    assert place.ask(None, "GET /prices/S-42", Authorization=f"DPoP {token}", DPoP=other).status == 401


# Requests that don't pass


@pytest.mark.parametrize(
    ("request_line", "body", "headers", "reason"),
    [
        ("PUT /prices/S-42", {"price": 999}, {}, "price"),
        ("PUT /prices/S-42", {"price": 9, "owner": "eve"}, {}, "owner"),
        (
            "PUT /prices/S-42",
            b'{"price": 9, "price": 8}',
            {"Content_Type": "application/json"},
            "repeats a key",
        ),
        ("PUT /prices/S-42", b"price=9", FORM, ""),
        ("GET /prices/S-42", {"price": 9}, {}, "body"),
        ("GET /prices/S-41", None, {}, "Nearest: GET /prices/S-42"),
        ("POST /notes/S-42", b"text=a&text=b", FORM, "repeated"),
        ("PUT /photos/S-42", PNG, {"Content_Type": "text/html"}, ""),
        *(("GET /prices/S-42", None, {name.replace("-", "_"): "DELETE"}, name) for name in OVERRIDES),
        ("POST /notes/S-42?_method=DELETE", b"text=a", FORM, "_method"),
        *(("POST /notes/S-42", f"text=a&{name}=DELETE".encode(), FORM, name) for name in METHOD_FIELDS),
        *(("PUT /prices/S-42", {"price": 9, name: "DELETE"}, {}, name) for name in METHOD_FIELDS),
        *(("POST /notes/S-42", *in_parts(name), name) for name in METHOD_FIELDS),
        ("GET /prices/S-42?currency=EUR&currency=USD", None, {}, "repeated"),
        ("GET /prices/../prices/S-42", None, {}, ""),
        ("GET /watch/S-42", None, {"Accept": "text/event-stream, */*"}, None),
    ],
)
def test_what_is_refused_never_reaches_the_target(place, price_grant, request_line, body, headers, reason):
    before = len(place.target.requests)
    if reason is None:
        request_line = request_line.replace("/watch", "/prices")
    reply = place.ask(price_grant, request_line, body, **headers)
    assert reply.status == 403
    assert (reason or "") in reply.json["detail"]
    assert len(place.target.requests) == before
    eventually(lambda: price_grant.runs.get().state == "refused")


def test_a_refusal_has_a_link_to_what_can_be_requested_instead(place, price_grant):
    reply = place.ask(price_grant, "GET /prices/S-41")
    offer = reply.json["context"]["access_request"]
    assert offer["request"]["parameters"] == {"sku": "S-41"}
    assert "/requests/new/?" in offer["form_url"]


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Content_Encoding": "gzip", "Content_Type": "application/json"}, 415),
        ({"Content_Type": "application/json; charset=utf-16"}, 415),
        ({"Content_Type": "application/json; a=1; a=2"}, 415),
        ({"Expect": "something", "Content_Type": "application/json"}, 417),
    ],
)
def test_a_body_that_readers_could_read_differently_is_refused(place, price_grant, headers, status):
    before = len(place.target.requests)
    assert place.ask(price_grant, "PUT /prices/S-42", b'{"price":9}', **headers).status == status
    assert len(place.target.requests) == before


@pytest.mark.parametrize(
    ("head", "body", "status"),
    [
        ("Content-Encoding: gzip\r\nContent-Type: application/json\r\nContent-Length: 2", "{}", 415),
        ("Content-Type: application/json\r\nContent-Length: 1048577", "", 413),
        ("Content-Type: image/png\r\nTransfer-Encoding: chunked", "0\r\n\r\n", 411),
    ],
)
def test_a_body_that_is_not_read_is_a_refusal_in_the_record(place, price_grant, head, body, status):
    path = "/photos/S-42" if status == 411 else "/prices/S-42"
    answer = place.raw(
        f"PUT /http/prices{path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
        f"Authorization: Bearer {place.token(price_grant)}\r\n{head}\r\n\r\n{body}".encode(),
        answers=1,
    )
    assert answer.startswith(f"HTTP/1.1 {status}".encode()), answer
    assert [run.state for run in price_grant.runs.all()] == ["refused"]


def test_without_a_token_it_asks_for_one_and_an_unknown_one_is_not_recorded(place, price_grant):
    reply = place.ask(None, "GET /prices/S-42")
    assert reply.status == 401
    assert reply.headers["www-authenticate"] == 'Bearer realm="stint"'
    unknown = place.ask(None, "GET /prices/S-42", Authorization=f"Bearer sgt_{'x' * 43}")
    assert unknown.status == 401
    assert 'error="invalid_token"' in unknown.headers["www-authenticate"]


def test_a_credential_that_was_replaced_is_not_sent_anymore(place, price_grant):
    assert place.ask(price_grant, "GET /prices/S-42").status == 200
    clusters, path = place.world.catalog, "clusters/prices.yaml"
    before = clusters[path]
    clusters[path] = before.replace(SECRET, "another-secret-0123")
    place.world.apply()
    try:
        assert place.ask(price_grant, "GET /prices/S-42").status == 200
        assert place.target.last().header("authorization") == "Bearer another-secret-0123"
    finally:
        clusters[path] = before
        place.world.apply()


@contextlib.contextmanager
def granted_at(place, target, *, inject):
    """Yield a grant on the application, which meanwhile is at this target with this credential."""
    clusters, path = place.world.catalog, "clusters/prices.yaml"
    before, clusters[path] = clusters[path], cluster(target, inject=inject)
    place.world.apply()
    grant = place.grant()
    try:
        yield grant
    finally:
        place.end(grant)
        clusters[path] = before
        place.world.apply()


def oauth(place) -> str:
    """Return a credential that the gateway fetches, a different one each time."""
    url, number = f"https://127.0.0.1:{place.target.port}/token", len(place.target.requests)
    return f'{{oauth: {{token_url: "{url}", client_id: stint-{number}, client_secret: secret-0123}}}}'


@pytest.fixture
def oauth_grant(place):
    """A grant on the application, which accepts tokens that the gateway fetches."""
    with granted_at(place, place.target, inject=oauth(place)) as grant:
        yield grant


@pytest.mark.parametrize(
    ("request_line", "body", "times"), [("GET /prices/S-42", None, 2), ("PUT /prices/S-42", {"price": 9}, 1)]
)
def test_only_a_read_is_sent_again_after_a_401(place, oauth_grant, said, request_line, body, times):
    said["/prices/S-42"] = {"status": 401}
    before = len(place.target.requests)
    assert place.ask(oauth_grant, request_line, body).status == 401
    assert [came.path for came in place.target.requests[before:]].count("/prices/S-42") == times


@pytest.mark.parametrize("headers", [{}, GOOD | {"Upgrade": "websocket"}], ids=["request", "websocket"])
def test_what_reached_no_target_failed(place, headers):
    path = "socket" if headers else "prices"
    with granted_at(place, Target(port=free_port()), inject=HEADER) as grant:
        assert place.ask(grant, f"GET /{path}/S-42", **headers).status == 502
        eventually(lambda: grant.runs.get().state == "failed")


def test_what_was_received_once_was_sent_although_the_target_is_gone_when_it_is_sent_again(place):
    server = place.target.tls.wrap_socket(socket.create_server(("127.0.0.1", 0)), server_side=True)
    target = Target(port=server.getsockname()[1], ca=place.target.ca)
    with granted_at(place, target, inject=oauth(place)) as grant:
        threading.Thread(target=refuse_once, args=[server], daemon=True).start()
        assert place.ask(grant, "GET /prices/S-42").status == 502
        eventually(lambda: grant.runs.get().state == "cut")


def refuse_once(server: socket.socket) -> None:
    """Answer one request with 401, and disconnect."""
    wire, _ = server.accept()
    server.close()
    with wire:
        wire.recv(65536)
        wire.sendall(b"HTTP/1.1 401 Unauthorized\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")


def test_a_held_upload_shows_its_digest_to_the_second_person(place, price_grant):
    replies = []
    place.token(price_grant)
    waits = threading.Thread(
        target=lambda: replies.append(
            place.ask(price_grant, "POST /publish/S-42", PNG, Content_Type="image/png")
        )
    )
    waits.start()
    eventually(lambda: price_grant.runs.filter(state="held").exists())
    run = price_grant.runs.get()
    assert hashlib.sha256(PNG).hexdigest() in run.line
    decide_hold(run_id=run.pk, actor=place.world.bob, allow=True, now=now())
    waits.join(20)
    assert replies[0].status == 200, replies[0].body
    assert place.target.last().body == PNG


@contextlib.contextmanager
def announced(place, grant, size: int = 10_000_000):
    """Yield the status and rest of the response to the head of an upload, which is held once its body has
    arrived.
    """
    head = (
        "POST /http/prices/publish/S-42 HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer"
        f" {place.token(grant)}\r\nContent-Type: image/jpeg\r\nContent-Length: {size}\r\nExpect:"
        " 100-continue\r\n\r\n"
    )
    with place.connect() as line:
        line.sendall(head.encode())
        said = line.recv(2000)
        yield int(said.split()[1]), said.lower()


def test_uploads_that_are_kept_for_a_decision_take_only_a_grants_share_of_the_room(place, price_grant):
    other = place.grant()
    place.token(other)
    with contextlib.ExitStack() as stack:
        got = [stack.enter_context(announced(place, price_grant)) for _ in range(4)]
        assert [status for status, _ in got] == [100, 100, 100, 503]
        assert b"\r\nretry-after: 1\r\n" in got[3][1]
        assert b"too many large requests are in progress" in got[3][1]
        assert stack.enter_context(announced(place, other))[0] == 100
        # Small bodies still fit, and streamed ones take no memory.
        assert place.ask(price_grant, "PUT /prices/S-42", {"price": 9}).status == 200
        assert place.ask(price_grant, "PUT /photos/S-42", PNG, Content_Type="image/png").status == 200

    def fits() -> bool:
        with announced(place, price_grant) as (status, _):
            return status == 100

    eventually(fits)
    place.end(other)


def test_an_upload_that_did_not_say_its_size_takes_no_more_room_than_it_has(place, price_grant):
    head = (
        "POST /http/prices/publish/S-42 HTTP/1.1\r\nHost: localhost\r\n"
        f"Authorization: Bearer {place.token(price_grant)}\r\n"
        "Content-Type: image/jpeg\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
    )
    with contextlib.ExitStack() as stack:
        for count in range(1, 5):
            stack.enter_context(place.connect()).sendall(head.encode())
            eventually(lambda count=count: price_grant.runs.filter(state="held").count() == count)


def test_an_upload_that_stops_coming_is_its_senders_doing_and_not_the_targets(place, price_grant):
    head = (
        "PUT /http/prices/photos/S-42 HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer"
        f" {place.token(price_grant)}\r\nContent-Type: image/png\r\nContent-Length: 1000\r\n\r\nabc"
    )
    with place.connect(timeout=PIECE_S + allow(10)) as line:
        line.sendall(head.encode())
        assert line.recv(1000).startswith(b"HTTP/1.1 408")
    eventually(lambda: price_grant.runs.get().state == "cut")
    assert price_grant.runs.get().reason == "the upload arrived too slowly"
