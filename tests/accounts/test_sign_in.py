"""Signing in and out."""

import datetime as dt
import re

import pytest
from django.contrib.auth.hashers import ScryptPasswordHasher
from django.contrib.sessions.models import Session
from django.db import connection
from django.test import Client

from accounts.attempts import Secret, count_attempt
from accounts.models import Identity
from broker.audit.backlog import catch_up
from broker.kernel import clock, recent
from tests.support.world.acts import events, last
from tests.support.world.reading import read
from tests.support.world.world import PASSWORD

URL = "/sign-in/"


@pytest.fixture(autouse=True)
def fresh(request) -> None:
    """There are people."""
    if "live_world" not in request.fixturenames:
        request.getfixturevalue("world")


def sign_in(client: Client, name: str = "alice", password: str = PASSWORD, **more):
    return client.post(URL, {"login": name, "password": password, **more})


def guessed(address: str = "127.0.0.1", name: str = "alice") -> None:
    """Somebody typed five wrong passwords there."""
    for _ in range(5):
        count_attempt(Secret.PASSWORD, account=name, address=address, now=clock.now())


def errors(answer) -> str:
    return " ".join(answer.context["form"].non_field_errors())


def test_one_returns_to_where_one_was_going(client):
    there = client.get("/requests/?show=all")["Location"]
    assert there == "/sign-in/?next=/requests/%3Fshow%3Dall"
    assert 'name="next" value="/requests/?show=all"' in read(client, there)
    assert sign_in(client, next="/requests/?show=all")["Location"] == "/requests/?show=all"


@pytest.mark.parametrize(
    "next_url", ["//evil.example", "/\\evil.example", "javascript:alert(1)", "\t//evil.example"]
)
def test_nobody_is_sent_to_another_site(client, next_url):
    assert sign_in(client, next=next_url)["Location"] == "/"
    again = client.get(URL, {"next": next_url})
    assert (again.status_code, again["Location"]) == (302, "/")
    out = client.post("/sign-out/", {"next": next_url})
    assert out["Location"] == "/sign-in/"


def test_the_session_changes_at_sign_in_so_a_planted_one_is_worth_nothing(client):
    client.get(URL)
    session = client.session
    session["planted"] = True
    session.save()
    client.cookies["stint_session"] = session.session_key
    sign_in(client)
    assert client.cookies["stint_session"].value != session.session_key
    assert not Session.objects.filter(session_key=session.session_key).exists()
    stolen = Client()
    stolen.cookies["stint_session"] = session.session_key
    assert stolen.get("/").status_code == 302


def test_unknown_and_known_names_get_the_same_answer(client):
    known = sign_in(client, "alice", "wrong password")
    unknown = sign_in(client, "nobody", "wrong password")
    machine = sign_in(client, "robot", "wrong password")
    assert known.status_code == unknown.status_code == machine.status_code == 200
    assert errors(known) == errors(unknown) == errors(machine) != ""

    def page(answer, name: str) -> str:
        text = answer.content.decode().replace(name, "NAME")
        return text.replace(answer.context["csrf_token"].__str__(), "TOKEN")

    assert page(known, "alice") == page(unknown, "nobody")


def test_an_unknown_name_takes_a_password_hash_as_well(client, monkeypatch):
    hashed: list[str] = []
    encode = ScryptPasswordHasher.encode
    monkeypatch.setattr(
        ScryptPasswordHasher,
        "encode",
        lambda self, password, *args, **kw: hashed.append(password) or encode(self, password, *args, **kw),
    )
    sign_in(client, "alice", "guess one")
    sign_in(client, "nobody", "guess two")
    assert {"guess one", "guess two"} <= set(hashed)


def test_failures_are_counted_over_all_spellings(client):
    for spelling in ("alice", "ALICE", " alice", "Alice ", "ａｌｉｃｅ"):
        sign_in(client, spelling, "wrong password")
    locked = sign_in(client)
    assert locked.status_code == 200
    assert re.search(r"Too many wrong passwords\. Try again in (1 minute|\d+ seconds)\.", errors(locked))
    assert "_auth_user_id" not in client.session


def test_a_stranger_who_guesses_locks_nobody_out(client):
    guessed()
    assert "Too many wrong passwords" in errors(sign_in(client))
    assert sign_in(Client(REMOTE_ADDR="192.0.2.9")).status_code == 302


@pytest.mark.parametrize(("proxies", "counted"), [(0, "127.0.0.1"), (1, "192.0.2.9")])
def test_what_a_stranger_says_of_their_address_buys_no_guesses(client, settings, proxies, counted):
    settings.ALLAUTH_TRUSTED_PROXY_COUNT = proxies
    guessed(counted)
    # A proxy that Stint trusts puts the true address last.
    client.defaults["HTTP_X_FORWARDED_FOR"] = "198.51.100.1, 192.0.2.9"
    assert "Too many wrong passwords" in errors(sign_in(client))


def test_too_many_tries_from_one_place_are_answered_with_a_page(client):
    for _ in range(30):
        recent.count(("sign-ins", "127.0.0.1"), 60)
    answer = sign_in(client)
    assert (answer.status_code, answer["Retry-After"]) == (429, "60")
    assert "Try again in 1 minute." in answer.content.decode()


def test_nothing_that_a_sign_in_or_a_page_reads_is_unpickled(client, monkeypatch):
    for name in ("load", "loads", "Unpickler"):
        monkeypatch.setattr(f"pickle.{name}", lambda *_, name=name, **__: pytest.fail(f"pickle.{name}"))
    sign_in(client, "alice", "wrong password")
    assert sign_in(client)["Location"] == "/"
    assert client.get("/").status_code == client.get("/api/v1/me").status_code == 200


def test_machines_never_sign_in_even_with_a_password(client, world):
    world.robot.set_password(PASSWORD)
    world.robot.save()
    assert sign_in(client, "robot").status_code == 200


def test_a_disabled_person_does_not_get_in(client, world):
    Identity.objects.filter(pk=world.alice.pk).update(is_active=False)
    answer = sign_in(client)
    assert "_auth_user_id" not in client.session
    assert client.get("/").status_code == 302
    assert answer.status_code == 302
    assert "disabled" in read(client, answer["Location"])


def test_signing_in_needs_the_token_of_our_form():
    client = Client(enforce_csrf_checks=True)
    assert sign_in(client).status_code == 403
    assert client.get("/").status_code == 302


def test_signing_out_is_an_act_that_ends_the_session_and_is_recorded(client):
    sign_in(client)
    key = client.session.session_key
    assert last("identity.signed_in", "alice").data == {"from": "127.0.0.1"}
    assert "Sign out?" in read(client, "/sign-out/")
    assert client.get("/").status_code == 200
    # Whoever is signed out already does not sign out again.
    assert [client.post("/sign-out/")["Location"] for _ in range(2)] == ["/sign-in/", "/sign-in/"]
    assert client.get("/").status_code == 302
    assert not Session.objects.filter(session_key=key).exists()
    assert events("alice")[-2:] == ["identity.signed_in", "identity.signed_out"]


def test_the_cookie_is_out_of_reach_of_scripts_and_other_sites(client):
    sign_in(client)
    cookie = client.cookies["stint_session"]
    assert (cookie["httponly"], cookie["samesite"]) == (True, "Lax")
    assert client.cookies["stint_csrf"]["httponly"]


@pytest.mark.parametrize("path", ["signup", "accounts/login", "password/reset", "sign-in/code", "email"])
def test_nothing_else_of_the_sign_in_library_is_there(client, path):
    assert client.get(f"/{path}/").status_code == 404


def test_a_failure_is_recorded_with_the_name_that_was_tried_and_never_with_the_password(client, world):
    for name in (" Alice", "nobody", "robot"):
        sign_in(client, name, "my-secret-guess")
        entry = last("identity.sign_in_failed", name.strip().lower())
        assert entry.data == {
            "name": name,
            "from": "127.0.0.1",
            "reason": "the username or the password is wrong",
        }
        assert "my-secret-guess" not in entry.body
    Identity.objects.filter(pk=world.bob.pk).update(is_active=False)
    sign_in(client, "bob")
    assert last("identity.sign_in_failed", "bob").data["reason"] == "the identity is disabled"
    assert "identity.signed_in" not in events()


def test_when_the_record_refuses_nobody_gets_in_and_everybody_gets_out(live_world, owner_connection):
    client, inside = Client(raise_request_exception=False), Client()
    sign_in(inside)
    owner_connection.execute("REVOKE EXECUTE ON FUNCTION audit_append_at_commit FROM stint_app")
    assert sign_in(client, "bob").status_code == 500
    assert client.get("/").status_code == 302
    assert sign_in(client, "bob", "wrong password").status_code == 200
    assert inside.post("/sign-out/").status_code == 302
    assert inside.get("/").status_code == 302
    owner_connection.execute("GRANT EXECUTE ON FUNCTION audit_append_at_commit TO stint_app")
    assert catch_up(live_world.now) == 2
    assert events("alice")[-1] == "identity.signed_out"
    assert events("bob")[-1] == "identity.sign_in_failed"
    assert sign_in(client, "bob").status_code == 302


def test_a_session_ends_when_it_expires(client):
    sign_in(client)
    assert client.get("/").status_code == 200
    Session.objects.update(expire_date=clock.now() - dt.timedelta(minutes=1))
    assert client.get("/").status_code == 302


@pytest.mark.parametrize("key", ["a\0b", "\0" * 32, "x" * 5000, "A" * 32, "é" * 32, "a" * 31])
def test_a_cookie_that_nobody_was_given_is_a_strangers(client, key):
    client.cookies["stint_session"] = key
    assert client.get(URL).status_code == 200
    assert client.get("/").status_code == 302
    with connection.execute_wrapper(_no_such_key(key)):
        client.get("/")


def _no_such_key(key: str):
    def check(execute, sql, params, many, context):
        assert key not in (params or ()), "the database is asked for it"
        return execute(sql, params, many, context)

    return check
