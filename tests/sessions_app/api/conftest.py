"""Callers of the API: each of the people and machines, with a token or with a browser's session."""

import datetime as dt
import json
from dataclasses import dataclass, field

import pytest
from django.test import Client

from accounts.operations.create_token import create_token
from broker.audit.actor import Actor
from tests.support.world.factors import just_signed_in

ALL_SCOPES = ("read", "request", "decide", "end", "administer")
GONE = ("GR-ZZZZ", "REQ-999999", "nothing", "nobody")


@dataclass
class Caller:
    """Sends JSON as one identity, and gives answers back with their body read."""

    identity: object
    token: str = ""
    client: Client = field(default_factory=lambda: Client(raise_request_exception=False))

    def __call__(self, method: str, path: str, body=None, **headers: str):
        if self.token:
            headers.setdefault("Authorization", f"Bearer {self.token}")
        data = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        response = self.client.generic(
            method, f"/api/v1{path}", data, content_type="application/json", headers=headers
        )
        if response.streaming:
            response.body = b"".join(response.streaming_content)
        else:
            response.body = json.loads(response.content) if response.content else None
        return response

    def get(self, path: str, **headers: str):
        return self("GET", path, **headers)

    def post(self, path: str, body=None, **headers: str):
        return self("POST", path, body, **headers)

    def delete(self, path: str, **headers: str):
        return self("DELETE", path, **headers)


def token_for(identity, now, *scopes: str, lifetime: dt.timedelta = dt.timedelta(days=90)) -> str:
    _, text = create_token(
        identity_id=identity.pk,
        label="test",
        scopes=scopes or ALL_SCOPES,
        lifetime=lifetime,
        # From the server, where tokens with any scope can be created for anyone.
        actor=Actor.system("person"),
        now=now,
    )
    return text


def is_not_there(caller: Caller, method: str, path: str, absent: str, body=None) -> None:
    """What the caller may not see is answered as what is not there."""
    hidden, missing = (caller(method, one, body) for one in (path, absent))
    assert (hidden.status_code, missing.status_code) == (404, 404), (method, path)
    assert json.dumps(hidden.body).replace(path, absent) == json.dumps(missing.body)


@pytest.fixture
def signed_in(world):
    """`signed_in("alice")` calls as Alice with a browser that she has just signed in with."""
    return lambda name: Caller(getattr(world, name), client=just_signed_in(Client(), getattr(world, name)))


@pytest.fixture
def api(world):
    """`api("alice")` calls as Alice with a token; `api("alice", "read")` with that scope alone; `api()` as a
    stranger.
    """
    callers: dict[tuple[str, ...], Caller] = {}

    def caller(name: str = "", *scopes: str) -> Caller:
        if not name:
            return Caller(None)
        if (name, *scopes) not in callers:
            identity = getattr(world, name)
            callers[name, *scopes] = Caller(identity, token_for(identity, world.now, *scopes))
        return callers[name, *scopes]

    return caller
