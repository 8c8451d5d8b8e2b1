"""nginx as a second parser: what the gateway and nginx both send on is the same request, or one of them
refuses it.

nginx stands before the same application as the gateway. So any proxy before or behind the gateway reads from
these bytes the request that was decided.
"""

import contextlib
import socket
from dataclasses import dataclass

import pytest

from tests.sessions_app.gateways.http.test_raw import ONE, SMUGGLED, asked
from tests.support.pace import allow
from tests.support.servers.nginx import Nginx, nginx

PREFIX = "/http/prices"
# nginx waits no longer than this for the rest of a request, or for the next one.
_TIMES = "client_header_timeout 1s; client_body_timeout 1s; keepalive_timeout 1s; lingering_timeout 1s;"
FORMS = {**SMUGGLED, **ONE}


@dataclass(frozen=True)
class Read:
    """A request as the application received it."""

    method: str
    path: str
    body: bytes


@pytest.fixture(scope="module")
def second(processes, place):
    """nginx in front of the application, which it trusts without a check."""
    lines = f"location / {{ proxy_pass https://127.0.0.1:{place.target.port}; proxy_http_version 1.1; }}"
    with nginx(lines, http=_TIMES) as running:
        yield running


def sent_to(second: Nginx, raw: bytes) -> bytes:
    """Return everything that nginx answers until it closes."""
    found = b""
    with (
        socket.create_connection(("127.0.0.1", second.port), allow(10)) as line,
        contextlib.suppress(OSError),
    ):
        line.sendall(raw)
        while piece := line.recv(65536):
            found += piece
    return found


def read_since(place, before: int) -> list[Read]:
    """Return the application's requests since then, with the gateway's addressing."""
    return [
        Read(came.method, came.path.removeprefix(PREFIX), came.body)
        for came in place.target.requests[before:]
    ]


def by_both(place, second, grant, raw: bytes, *, answers: int = 1) -> tuple[list[Read], list[Read]]:
    """Return the application's requests for the same bytes, through the gateway and through nginx.

    Waits for ``answers`` responses from the gateway.
    """
    before = len(place.target.requests)
    asked(place, grant, raw, answers=answers)
    ours = read_since(place, before)
    before = len(place.target.requests)
    sent_to(second, raw)
    return ours, read_since(place, before)


@pytest.mark.parametrize("form", FORMS)
def test_what_both_read_is_the_same_or_one_of_them_refuses(place, price_grant, second, form):
    ours, theirs = by_both(place, second, price_grant, FORMS[form], answers=int(form in ONE))
    assert not ours or not theirs or ours == theirs
    assert len(ours) == len(theirs) == 1 or form in SMUGGLED
