"""A real nginx with Stint's snippet, the real web process, and an application that keeps the bytes it
receives.
"""

import contextlib
import json
import socket
import tempfile
import time
from pathlib import Path
from urllib.request import Request

import psycopg
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from broker.direct import direct
from broker.kernel import clock
from sessions_app.connectors.http.snippets import Site, snippet
from sessions_app.models import CommandRun, RequestCount
from sessions_app.policy.commands.http.targets import TargetRefused, read_target
from tests.conftest import fresh_database
from tests.support.breadth import examples
from tests.support.browser.site import serve, serve_and_kill
from tests.support.pace import allow
from tests.support.servers.gateway import connections_at
from tests.support.servers.nginx import application, nginx
from tests.support.waits import eventually
from tests.support.world.acts import Started, events, last, revoke, wait_for_waiters
from tests.support.world.api_site import PROXY_KEY, add_site, grant_on_site, token_of
from tests.support.world.world import make_world


class Scene:
    """The running nginx, web process and application."""

    def __init__(self, world, env, web, upstream, proxy):
        self.world, self.env, self.web, self.upstream, self.proxy = world, env, web, upstream, proxy
        self.grant = grant_on_site(world)
        self.token = token_of(self.grant, world)

    def ask(self, line, *headers, token=None):
        """Send a request through nginx; return the status, and the request line that the application got, if
        any.
        """
        before = len(self.upstream.heads)
        answer = self.proxy.get(line, self.token if token is None else token, *headers)
        new = self.upstream.heads[before:]
        return answer, (new[0] if new else None)


def site_of(upstream, web):
    return Site(
        target="tickets-api",
        origin="http://api.example.com",
        upstream=upstream.url,
        stint=web,
        proxy_key=PROXY_KEY,
    )


@pytest.fixture(scope="module")
def scene(processes, django_db_setup, django_db_blocker):
    with contextlib.ExitStack() as stack:
        database = stack.enter_context(fresh_database(django_db_blocker))
        clock.sync()
        world = make_world(clock.now())
        add_site(world)
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="stint-http-")))
        web = stack.enter_context(serve(database.env, folder))
        upstream = stack.enter_context(application())
        proxy = stack.enter_context(nginx(snippet("nginx", site_of(upstream, web))))
        yield Scene(world, database.env, web, upstream, proxy)


@pytest.mark.smoke
def test_what_is_allowed_arrives_as_it_was_sent(scene):
    answer, head = scene.ask("GET /tickets/T-42")
    assert (answer.status, answer.body) == (200, b"yes")
    assert head.startswith(b"GET /tickets/T-42 HTTP/1.1\r\n")


def test_the_application_gets_holder_and_grant_and_never_the_token(scene):
    _, head = scene.ask(
        "GET /tickets/T-42", "Stint-Holder: mallory", "Stint-Grant: GR-0000", "stint_holder: mallory"
    )
    said = head.decode().lower()
    assert "stint-holder: alice\r\n" in said
    assert f"stint-grant: {scene.grant.ref.lower()}\r\n" in said
    assert "mallory" not in said
    assert "authorization" not in said
    assert scene.token.lower() not in said
    assert PROXY_KEY not in said


@pytest.mark.smoke
def test_a_refusal_reaches_the_client_as_something_it_can_ask_for(scene):
    answer, head = scene.ask("GET /tickets/T-43")
    assert answer.status == 403
    assert head is None
    assert answer.headers["content-type"] == "application/problem+json"
    said = json.loads(answer.body)
    assert said["context"]["access_request"]["request"]["parameters"] == {"ticket": "T-43"}


@pytest.mark.parametrize(
    ("line", "event"),
    [("GET /tickets/T-43", "command.refused"), ("POST /tickets/T-42/reopen", "command.allowed")],
)
def test_a_request_that_its_client_gives_up_before_it_is_decided_is_written_down(scene, line, event):
    grant = grant_on_site(scene.world)
    head = (
        f"{line} HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nAuthorization: Bearer"
        f" {token_of(grant, scene.world)}\r\n\r\n"
    )
    with psycopg.connect(scene.env["DATABASE_OWNER_URL"]) as owner:
        # Not the record, which would also wait for the counted requests of others.
        owner.execute("SELECT FROM sessions_app_grant WHERE id = %s FOR UPDATE", [grant.pk])
        with socket.create_connection(("127.0.0.1", scene.proxy.port), 10) as wire:
            wire.sendall(head.encode())
            wait_for_waiters(owner, 1)
        time.sleep(0.5)
        assert event not in events(grant.ref)
        owner.rollback()
    eventually(lambda: event in events(grant.ref), within=20)


SMUGGLED = [
    b"GET //tickets/T-42",
    b"GET /tickets//T-42",
    b"GET /./tickets/T-42",
    b"GET /tickets/./T-42",
    b"GET /x/../tickets/T-42",
    b"GET /tickets/T-42/../T-43",
    b"GET /tickets/T-43/../T-42",
    b"GET /tickets/T-42/..",
    b"GET /tickets/T-42/.",
    b"GET /tickets/%2e%2e/tickets/T-42",
    b"GET /tickets/%2E/T-42",
    b"GET /tickets/..%2fT-42",
    b"GET /tickets%2fT-42",
    b"GET /tickets%2FT-42",
    b"GET /tickets/T-42%2f..%2fT-43",
    b"GET /tickets/T-42;x",
    b"GET /tickets;a=b/T-42",
    b"GET /tickets/..;/T-42",
    b"GET /tickets/T-42.",
    b"GET /tickets./T-42",
    b"GET /tickets/T-42%00",
    b"GET /tickets/T-42%20",
    b"GET /tickets/T-42%0a",
    b"GET /tickets/T-42%0d%0aX: y",
    b"GET /tickets\\T-42",
    b"GET /tickets%5cT-42",
    b"GET /tickets%5CT-42",
    b"GET /tickets/%54-42",
    b"GET /tickets/T%2d42",
    b"GET /tickets/T-42#x",
    b"GET /tickets/T-42?",
    b"GET /tickets/T-42?a=1",
    b"GET /tickets/T-42/comments?page=1&page=2",
    b"GET /tickets/T-42/comments?page=1;page=2",
    b"GET /tickets/T-42/comments?page=01",
    b"GET /tickets/T-42/comments?page=%31",
    b"GET /tickets/T-42/comments?page=1+",
    b"GET /tickets/T-42/comments?page",
    b"GET /tickets/T-42/comments?Page=1",
    b"GET /tickets/T-42/comments?page=1&_method=DELETE",
    b"GET /TICKETS/T-42",
    b"GET /tickets/t-42",
    b"GET /tickets/T-42/",
    b"get /tickets/T-42",
    b"Get /tickets/T-42",
    b"HEAD /tickets/T-42",
    b"OPTIONS /tickets/T-42",
    b"DELETE /tickets/T-42",
    b"TRACE /tickets/T-42",
    b"OPTIONS *",
    b"GET /tickets/T-42%c0%ae",
    b"GET /tickets/%ff",
    b"GET /tickets/T-42%25",
    b"GET /tickets/%252e%252e",
    b"GET /tickets/T-42%u002e",
    b"GET /tickets/T-42%",
    b"GET /tickets/T-42%2",
    b"GET /tickets/\xef\xbc\xafT-42",
    b"GET /tickets/T-42\x01",
    b"GET /tickets/T-42\x7f",
    b"GET /tickets/T-42\t",
    b"GET /tickets/T-42/%EF%BC%8F",
    b"GET /people/roo%74",
    b"GET /people/ROOT",
    b"GET /people/root",
    b"GET /people/root/",
    b"GET /people/%E2%80%AEa",
    b"GET /people/a%20",
    b"GET /people/.",
    b"GET /people/..",
    b"GET /people/a;b",
    b"GET /docs/public/../secret",
    b"GET /docs/public",
    b"GET /docs/publicity",
    b"GET /docs/public//a",
    b"GET /docs/secret",
    b"CONNECT api.example.com:443",
]


@pytest.mark.parametrize("line", SMUGGLED)
def test_what_two_readers_could_read_differently_never_arrives(scene, line):
    answer, head = scene.ask(line)
    assert head is None, (line, head)
    # 0: nginx closes at once.
    assert answer.status in (0, 400, 403, 405, 501), answer


def test_the_absolute_form_arrives_as_the_path_that_was_decided_or_not_at_all(scene):
    for line in (
        b"GET http://api.example.com/tickets/T-42",
        b"GET http://evil.example/tickets/T-42",
        b"GET http://api.example.com/tickets/T-43",
        b"GET http://x/../tickets/T-42",
        b"GET ftp://x/tickets/T-42",
    ):
        answer, head = scene.ask(line)
        if head is not None:
            assert answer.status == 200
            assert head.startswith(b"GET /tickets/T-42 HTTP/1.1\r\nHost: api.example.com\r\n"), head


def test_whatever_host_is_asked_for_the_application_sees_its_own(scene):
    for host in ("evil.example", "127.0.0.1", "api.example.com:99", "api.example.com.", "API.example.com"):
        _, head = scene.ask("GET /tickets/T-42", f"Host: {host}")
        if head is not None:
            assert b"\r\nHost: api.example.com\r\n" in head


def test_doubled_headers_never_choose(scene):
    other = "sgt_" + "a" * 43
    for headers in (
        (f"Authorization: Bearer {other}",),
        ("Host: api.example.com", "Host: evil.example"),
        ("Content-Length: 0", "Content-Length: 5"),
        ("Transfer-Encoding: chunked", "Content-Length: 5"),
        ("Transfer-Encoding: xchunked",),
    ):
        _, head = scene.ask("GET /tickets/T-42", *headers)
        assert head is None, headers


def test_headers_of_stints_own_from_a_client_change_nothing(scene):
    fakes = [
        f"{name}: {value}"
        for name, value in (
            ("Stinturi", "/tickets/T-42"),
            ("Stintmethod", "GET"),
            ("stintproxy", PROXY_KEY),
            ("Stinttarget", "x"),
            ("X-Forwarded-Uri", "/tickets/T-42"),
            ("X_Forwarded_Uri", "/tickets/T-42"),
            ("X-Stint-Uri", "/tickets/T-42"),
        )
    ]
    answer, head = scene.ask("GET /tickets/T-43", *fakes)
    assert (answer.status, head) == (403, None)
    answer, head = scene.ask("GET /tickets/T-42", *fakes)
    assert answer.status == 200


@pytest.mark.parametrize(
    "header",
    [
        "X-HTTP-Method-Override: DELETE",
        "X-HTTP-Method: DELETE",
        "X-Method-Override: DELETE",
        "X-Original-URL: /admin",
        "X-Rewrite-URL: /admin",
        "X-Original-URI: /admin",
        "X-Rewrite-URI: /admin",
        "x-http-method-override: GET",
        "X-Original-Method: DELETE",
    ],
)
def test_headers_that_would_change_method_or_path_are_refused(scene, header):
    answer, head = scene.ask("GET /tickets/T-42", header)
    assert (answer.status, head) == (403, None)


def test_the_application_is_told_no_other_host_path_or_client_than_the_real_ones(scene):
    names = ("For", "Proto", "Host", "Prefix", "Method", "Uri")
    _, head = scene.ask(
        "GET /tickets/T-42", *(f"X-Forwarded-{name}: evil" for name in names), "Forwarded: host=evil"
    )
    assert b"evil" not in head
    assert b"X-Forwarded-For: 127.0.0.1\r\n" in head
    assert b"X-Forwarded-Proto: http\r\n" in head


def test_a_spelling_with_underscores_never_arrives(scene):
    _, head = scene.ask("GET /tickets/T-42", "X_HTTP_Method_Override: DELETE")
    assert head is None or b"verride" not in head


def test_upgrades_to_what_nobody_decides_on_are_not_passed_on(scene):
    _, head = scene.ask("GET /tickets/T-42", "Upgrade: websocket", "Sec-WebSocket-Key: x")
    assert head is not None
    assert b"upgrade" not in head.lower()


@pytest.mark.parametrize(
    "accept",
    [
        ["Accept: text/event-stream"],
        ["accept: application/json, Text/Event-Stream;q=0.1"],
        ["Accept: */*", "Accept: text/event-stream"],
        ["Accept: text/event-stream", "Accept: */*"],
    ],
)
def test_a_stream_of_events_is_refused_unless_its_request_is_allowed_one(scene, accept):
    answer, head = scene.ask("GET /tickets/T-42", *accept)
    assert (answer.status, head) == (403, None)
    assert b"could continue after the grant ends" in answer.body
    answer, head = scene.ask("GET /tickets/T-42/events", *accept)
    assert answer.status == 200
    assert head.startswith(b"GET /tickets/T-42/events HTTP/1.1\r\n")


@contextlib.contextmanager
def sooner(scene, answer: bytes, every: float = 0.0, *, minute: str = "1s"):
    """Yield nginx with a second, or ``minute``, in place of each minute, and an application with this
    response.
    """
    with application() as upstream:
        upstream.answer, upstream.every = answer, every
        with nginx(snippet("nginx", site_of(upstream, scene.web)).replace("60s", minute)) as proxy:
            yield upstream, proxy


def test_an_answer_that_stands_still_is_cut(scene):
    with sooner(scene, b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nyes") as (_, proxy):
        answer = proxy.get("GET /tickets/T-42", scene.token)
    assert (answer.status, len(answer.body) < 9) == (200, True)


def test_an_answer_whose_client_stands_still_is_cut(scene):
    size = 64 * 1024 * 1024
    big = f"HTTP/1.1 200 OK\r\nContent-Length: {size}\r\n\r\n".encode() + bytes(size)
    head = f"GET /tickets/T-42 HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {scene.token}\r\n\r\n".encode()
    with sooner(scene, big) as (_, proxy), socket.create_connection(("127.0.0.1", proxy.port), 10) as wire:
        wire.sendall(head)
        assert wire.recv(12) == b"HTTP/1.1 200"
        eventually(lambda: not connections_at(proxy.port))
        got = 0
        with contextlib.suppress(ConnectionResetError):
            while chunk := wire.recv(1024 * 1024):
                got += len(chunk)
    assert got < size


def test_an_answer_that_has_begun_goes_on_after_the_end_for_as_long_as_it_moves_and_nothing_new_begins(scene):
    """nginx bounds no whole answer, as its guide says: here it takes longer than it may stand still."""
    grant = grant_on_site(scene.world)
    token = token_of(grant, scene.world)
    with sooner(scene, b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nslowly", 1.5, minute="6s") as (
        upstream,
        proxy,
    ):
        begun = Started(lambda: proxy.get("GET /tickets/T-42", token))
        eventually(lambda: upstream.heads)
        revoke(grant)
        assert proxy.get("GET /tickets/T-42", token).status == 401
        assert begun.result().body == b"slowly"
        assert len(upstream.heads) == 1


_PIECES = st.one_of(
    st.text("abcT-42.~_!$&'()*+,=:@%;/\\?#|^ é", max_size=12),
    st.sampled_from(
        [
            "..",
            ".",
            "%2e",
            "%2F",
            "%5c",
            "%00",
            "%20",
            "%C3%A9",
            "%c3%a9",
            "//",
            ";x",
            "a",
            "T-42",
            "root",
            "ROOT",
        ]
    ),
)


@settings(
    max_examples=examples(120),
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    pieces=st.lists(_PIECES, min_size=1, max_size=4),
    base=st.sampled_from(["/people/", "/tickets/", "/docs/public/"]),
)
@example(pieces=["é"], base="/people/")
@example(pieces=["a%20b"], base="/people/")
@example(pieces=["a!$&'()*+,=:@b"], base="/people/")
@example(pieces=["%C3%A9"], base="/people/")
@example(pieces=["2 "], base="/people/")
def test_what_passes_arrives_byte_for_byte_and_is_its_own_canonical_form(scene, pieces, base):
    line = f"GET {base}{''.join(pieces)}".encode("latin-1")
    answer, head = scene.ask(line)
    if head is None:
        assert answer.status != 200
        return
    assert answer.status == 200
    # Spaces before the version don't belong to the target: nginx accepts any number of them.
    wanted = line.rstrip(b" ")
    assert head.partition(b" HTTP/1.1\r\n")[0] == wanted
    target = wanted[4:].decode("latin-1")
    assert read_target(target).text == target
    assert read_target(target).path.count("/") == target.partition("?")[0].count("/")


@given(st.text(max_size=40))
def test_reading_a_target_is_idempotent_and_never_fails_otherwise(text):
    try:
        found = read_target(text)
    except TargetRefused:
        return
    assert read_target(found.text) == found


def ask_web(web, token, uri):
    """Send the request that a proxy would send, without the proxy; return the status."""
    said = {
        "Authorization": f"Bearer {token}",
        "Stintproxy": PROXY_KEY,
        "Stinttarget": "tickets-api",
        "Stintmethod": "GET",
        "Stinturi": uri,
    }
    return direct.open(Request(f"{web}/authz/nginx", headers=said), timeout=allow(10)).status


def test_what_was_answered_just_before_the_web_process_stops_is_in_the_record(scene, tmp_path):
    grant = grant_on_site(scene.world, ticket="T-9")
    token = token_of(grant, scene.world)
    with serve(scene.env, tmp_path) as web:
        for _ in range(7):
            assert ask_web(web, token, "/tickets/T-9") == 200
    assert sum(count.times for count in RequestCount.objects.filter(run__grant=grant)) == 7


def test_what_was_read_just_before_the_web_process_is_killed_is_in_the_record(scene, tmp_path):
    grant = grant_on_site(scene.world, ticket="T-10")
    token = token_of(grant, scene.world)
    with serve_and_kill(scene.env, tmp_path) as (web, kill):
        assert ask_web(web, token, "/tickets/T-10") == 200
        kill()
    assert [run.line for run in CommandRun.objects.filter(grant=grant)] == ["GET /tickets/T-10"]
    assert last("command.allowed", grant.ref).data["argv"] == ["GET", "/tickets/T-10"]
