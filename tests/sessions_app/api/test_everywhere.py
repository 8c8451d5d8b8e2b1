"""Every address of the API × every method × everybody: no failure, and nothing of others."""

from collections.abc import Iterator

import pytest
from django.db import transaction
from django.urls import get_resolver

from broker.kernel import recent
from sessions_app.api.endpoint import Endpoint
from sessions_app.models import CommandRun, Notice
from sessions_app.operations.notifications.gather_webhooks import gather_webhooks
from tests.sessions_app.api.conftest import Caller
from tests.sessions_app.api.test_me import TOKEN, public_key
from tests.support.breadth import FULL, some
from tests.support.servers.receiver import webhook_file
from tests.support.world.acts import run, session, use
from tests.support.world.proposals import delegate, propose

pytestmark = pytest.mark.slow

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND")
BODIES = (None, {}, [], {"name": "x", "duration": "1h"}, b"\xff")
CANARY = "the-canary-reason"


def addresses(patterns=None, prefix: str = "") -> Iterator[tuple[str, type[Endpoint]]]:
    """Every route below /api/v1 with its view."""
    for pattern in get_resolver().url_patterns if patterns is None else patterns:
        path = prefix + str(pattern.pattern)
        if hasattr(pattern, "url_patterns"):
            yield from addresses(pattern.url_patterns, path)
        elif path.startswith("api/v1"):
            yield path.removeprefix("api/v1"), pattern.callback.cls


@pytest.fixture
def things(world, api, signed_in, settings, tmp_path) -> dict[str, str]:
    """One thing of Alice's, and of what she may see, for each part of an address."""
    world.apply(webhook_file(None))
    delegate(world)
    used = use(world.grant(reason=CANARY), now=world.now)
    gather_webhooks(now=world.now)
    run(used, session(used, now=world.now), "echo stop nginx", now=world.now)
    settings.RECORDINGS_DIR = tmp_path
    (tmp_path / "1.cast").write_text(f'{{"version": 2}}\n[0.1, "o", "{CANARY}"]\n')
    CommandRun.objects.update(recording="1.cast")
    world.request(reason=CANARY)
    key = signed_in("alice").post("/me/ssh-keys", {"public_key": public_key(), "label": CANARY}).body
    token = api("alice").post("/me/tokens", {**TOKEN, "label": CANARY}).body
    Notice.objects.create(identity=world.alice, event="x", subject=CANARY, path="/")
    return {
        "<api_request:ref>": world.request(reason=CANARY).ref,
        "<api_grant:ref>": used.grant_ref,
        "<api_workflow:ref>": world.incident().ref,
        "<api_id:run_id>": str(CommandRun.objects.latest("pk").pk),
        "<api_id:key_id>": str(key["id"]),
        "<api_id:token_id>": str(token["id"]),
        "<api_id:notice_id>": str(Notice.objects.latest("pk").pk),
        "<api_id:proposal_id>": str(propose(world).pk),
        "<api_id:number>": "1",
        "<api_user:username>": "alice",
        "<api_name:kind>": "policy",
        "<api_user:name>": "web-work",
        "NAMES": "",
    }


def fill(route: str, things: dict[str, str]) -> str:
    name = (
        "web"
        if route.startswith("/clusters")
        else "web-work"
        if route.startswith("/policies")
        else "chat"
        if route.startswith("/webhooks")
        else "restart-web"
    )
    for part, value in {**things, "<api_name:name>": name}.items():
        route = route.replace(part, value)
    assert "<" not in route, f"the walk knows no value for {route}"
    return route


def tried(caller: Caller, method: str, path: str, body=None):
    """Call, and undo what it did."""
    recent.forget()
    with transaction.atomic():
        answer = caller(method, path, body)
        transaction.set_rollback(True)
    return answer


EVERYBODY = ("", "alice", "bob", "charlie", "robot", "deployer", "admin")


@pytest.mark.parametrize("who", EVERYBODY)
def test_nothing_fails_whatever_is_sent_by_whomever(api, things, who):
    caller = api(who)
    # Odd bodies get furthest with who may most.
    bodies = BODIES if FULL or who == "admin" else BODIES[:2]
    for turn, (route, view) in enumerate(addresses(), start=EVERYBODY.index(who)):
        path = fill(route, things)
        offered = [method for method in METHODS if hasattr(view, method.lower())]
        others = [method for method in METHODS if method not in offered]
        for method in (*offered, *some(others, turn)):
            for body in bodies if hasattr(view, method.lower()) and method == "POST" else (None,):
                answer = tried(caller, method, path, body)
                assert answer.status_code < 500, (method, path, body)
                assert who or answer.status_code == 401, (method, path)
                if answer.status_code >= 400 and method != "HEAD":
                    assert answer["Content-Type"] == "application/problem+json", (method, path)
                    assert answer.body["instance"] == f"/api/v1{path}"
                if not hasattr(view, method.lower()) and method != "HEAD":
                    assert answer.status_code == (405 if who else 401), (method, path)


@pytest.mark.parametrize("who", ["charlie", "robot", "deployer"])
def test_nothing_of_others_is_shown_anywhere(api, things, who):
    caller = api(who)
    for route, view in addresses():
        path = fill(route, things)
        if hasattr(view, "get"):
            answer = tried(caller, "GET", path)
            assert CANARY not in answer.content.decode(), path
            assert answer.status_code in ({200, 404} if "<" in route else {200}), path
        if hasattr(view, "post"):
            for body in ({}, {"note": "x"}, {"allow": True}, {"verdict": "approve", "digest": "0" * 64}):
                assert CANARY not in tried(caller, "POST", path, body).content.decode(), path


@pytest.mark.parametrize("who", ["alice", "charlie", "admin"])
@pytest.mark.parametrize(
    "path",
    [
        "",
        "/",
        "/nowhere",
        "/me/",
        "/grants/gr-7f3k",
        "/grants/GR-7F3K/../x",
        "/requests/%0A",
        "/%00",
        "/requests/REQ-1/",
        "/v2",
        "/command-sets/A%20b",
    ],
)
def test_addresses_that_mean_nothing_are_problems_and_say_nothing(api, who, path):
    for method in ("GET", "POST", "DELETE", "PUT"):
        answer = tried(api(who), method, path)
        assert (answer.status_code, answer["Content-Type"]) == (404, "application/problem+json")


def test_every_view_names_its_scope_or_is_for_administrators():
    for route, view in addresses():
        assert view.scope in {"read", "request", "decide", "end", "administer"}, route
        if view.scope == "administer" and hasattr(view, "post"):
            assert any(
                part in route
                for part in (
                    "tokens",
                    "ssh-keys",
                    "time-zone",
                    "password",
                    "identities",
                    "catalog",
                    "publish",
                    "command-sets",
                    "webhooks",
                    "proposals",
                )
            ), route
