"""At the edge, each request gets its id and is timed by the pattern of its address."""

import asyncio

import pytest
from django.core.handlers.wsgi import WSGIHandler
from django.test import RequestFactory

from broker.edge import Edge, at_edge
from broker.kernel import request_id
from broker.kernel.metrics import REQUESTS
from sessions_app.gateways.http.application import HTTPGateway
from tests.support.world.holders import metric


def ask(path: str, inner=None, **environ: str) -> tuple[str, dict[str, str], str]:
    """The status, headers and body of an answer through the edge."""
    said: list = []
    body = Edge(inner or WSGIHandler())(
        RequestFactory().get(path, **environ).environ,
        lambda status, headers, *_: said.append((status, headers)),
    )
    ((status, headers),) = said
    return status, dict(headers), b"".join(body).decode(errors="replace")


def count(route: str, status: str) -> float:
    return metric(f"{REQUESTS._name}_count", method="GET", route=route, status=status)


@pytest.mark.parametrize(
    ("path", "route", "status"),
    [
        ("/schemas/policies.json", "/schemas/<str:folder>.json", "2xx"),
        ("/schemas/nothing.json", "/schemas/<str:folder>.json", "4xx"),
        ("/no/such/page", "none", "4xx"),
        ("/authz/nginx", "/authz/", "4xx"),
    ],
)
def test_requests_are_counted_by_pattern_and_not_by_object(db, path, route, status):
    before = count(route, status)
    ask(path)
    assert count(route, status) == before + 1


def test_probes_are_not_counted(db):
    before = count("none", "2xx")
    ask("/healthz")
    assert count("none", "2xx") == before


def test_a_request_that_fails_is_counted_as_an_error():
    def fails(environ, start):
        raise OSError

    before = count("none", "5xx")
    with pytest.raises(OSError):
        ask("/", fails)
    assert count("none", "5xx") == before + 1
    assert request_id.current() == ""


def app(environ, start):
    start("200 OK", [("content-type", "text/plain")])
    return [request_id.current().encode()]


@pytest.mark.parametrize("behind", [True, False])
def test_the_id_is_that_of_the_proxy_if_one_is_trusted_and_in_the_answer(settings, behind):
    settings.BEHIND_PROXY = behind
    given = "0af7651916cd43dd8448eb211c80319c"
    _, headers, body = ask("/", app, HTTP_X_REQUEST_ID=given)
    assert (headers["X-Request-ID"] == given) is behind
    assert body == headers["X-Request-ID"]
    assert len(body) == 32


@pytest.mark.parametrize(
    "said", ["", "short", "a" * 65, "with space", "new\nline-12345", "ünïcode-12345", "<b>12345678"]
)
def test_an_id_that_is_not_well_formed_is_replaced(settings, said):
    settings.BEHIND_PROXY = True
    assert ask("/", app, HTTP_X_REQUEST_ID=said)[2] != said


def test_a_proxy_that_asks_for_a_decision_gets_the_id_that_it_gave(db):
    gateway = HTTPGateway(WSGIHandler())
    _, headers, _ = ask("/.well-known/authzen-configuration", gateway, HTTP_X_REQUEST_ID="theirs")
    assert {name: id_ for name, id_ in headers.items() if name.lower() == "x-request-id"} == {
        "x-request-id": "theirs"
    }


def test_a_request_of_asgi_gets_its_id_in_the_same_way(settings):
    settings.BEHIND_PROXY = True
    sent: list[dict] = []

    async def inner(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": request_id.current().encode()})

    async def send(message):
        sent.append(message)

    scope = {"type": "http", "method": "GET", "headers": [(b"x-request-id", b"0123456789abcdef")]}
    asyncio.run(at_edge(inner, scope, None, send))
    assert sent[0]["headers"] == [(b"x-request-id", b"0123456789abcdef")]
    assert sent[1]["body"] == b"0123456789abcdef"
