"""The endpoint in this process, with a cluster, a grant and its token."""

import io
import json
from dataclasses import dataclass, field

import pytest

from tests.support.servers.http_place import http_place
from tests.support.world.api_site import PROXY_KEY, add_site, grant_on_site, token_of


@dataclass
class Answered:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self):
        return json.loads(self.body)


@dataclass
class Endpoint:
    """Calls the endpoint like a server."""

    gateway: object
    tally: object
    passed_on: list[str] = field(default_factory=list)

    def call(self, path, *, method="GET", body=b"", query="", **headers) -> Answered:
        environ = {
            "PATH_INFO": path,
            "REQUEST_METHOD": method,
            "QUERY_STRING": query,
            "REMOTE_ADDR": "10.0.0.1",
            "wsgi.input": io.BytesIO(body),
            **headers,
        }
        said = {}

        def start(status, sent, exc_info=None):
            said.update(status=int(status[:3]), headers=dict(sent))

        data = b"".join(self.gateway(environ, start))
        return Answered(said["status"], said["headers"], data)

    def nginx(self, token, request="GET /tickets/T-42", **more) -> Answered:
        method, _, uri = request.partition(" ")
        headers = {
            "HTTP_AUTHORIZATION": f"Bearer {token}",
            "HTTP_STINTPROXY": PROXY_KEY,
            "HTTP_STINTTARGET": "tickets-api",
            "HTTP_STINTMETHOD": method,
            "HTTP_STINTURI": uri,
            **more,
        }
        return self.call(
            "/authz/nginx", **{name: value for name, value in headers.items() if value is not None}
        )

    def authzen(self, said, *, path="/access/v1/evaluation", raw=None, method="POST", **headers) -> Answered:
        """Call AuthZEN's API with a JSON document, or any bytes."""
        sent = {
            "HTTP_AUTHORIZATION": f"Bearer {PROXY_KEY}",
            "CONTENT_TYPE": "application/json",
            **headers,
        }
        body = json.dumps(said).encode() if raw is None else raw
        return self.call(path, method=method, body=body, **sent)

    def flush(self):
        self.tally.flush()


@pytest.fixture
def site(world):
    add_site(world)
    return world


@pytest.fixture
def grant(site):
    return grant_on_site(site)


@pytest.fixture
def token(grant, site):
    return token_of(grant, site)


@pytest.fixture
def endpoint(site):
    from sessions_app.gateways.core.tally import Tally
    from sessions_app.gateways.http.application import HTTPGateway
    from sessions_app.gateways.http.deciding import Decider

    tally = Tally()
    tally._start = lambda: None  # the thread would have another connection, which sees nothing of this test
    made = Endpoint(None, tally)

    def django(environ, start):
        made.passed_on.append(environ["PATH_INFO"])
        start("404 Not Found", [])
        return []

    made.gateway = HTTPGateway(django, Decider(tally))
    return made


@pytest.fixture(scope="module")
def place(processes, tmp_path_factory, django_db_setup, django_db_blocker):
    """The gateway as a process, with an application behind it, both with TLS."""
    with http_place(django_db_blocker, tmp_path_factory.mktemp("http")) as place:
        yield place


@pytest.fixture
def price_grant(place):
    """An active grant on one price."""
    grant = place.grant()
    yield grant
    place.end(grant)


@pytest.fixture
def said(place):
    """Overrides of the application's responses, by path."""
    yield place.target.said
    place.target.said.clear()
