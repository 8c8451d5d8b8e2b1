"""Signing in and out."""

from __future__ import annotations

import re

import pytest
from django.contrib.sessions.models import Session
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from accounts.attempts import Secret, count_attempt
from accounts.models import Identity
from broker.audit.backlog import catch_up
from broker.kernel import clock, recent
from tests.support.world.acts import events, last
from tests.support.world.world import PASSWORD

URL = "/sign-in/"


@pytest.fixture(autouse=True)
def fresh(request) -> None:
    """There are people."""
    if "live_world" not in request.fixturenames:
        request.getfixturevalue("world")


@pytest.fixture
def client() -> Client:
    return Client()


def sign_in(client: Client, name: str = "alice", password: str = PASSWORD, **more):
    return client.post(URL, {"login": name, "password": password, **more})


def guessed(address: str = "127.0.0.1", name: str = "alice") -> None:
    """Somebody typed five wrong passwords there."""
    for _ in range(5):
        count_attempt(Secret.PASSWORD, account=name, address=address, now=clock.now())


def errors(answer) -> str:
    return " ".join(answer.context["form"].non_field_errors())


def test_the_right_password_leads_home(client):
    answer = sign_in(client)
    assert (answer.status_code, answer["Location"]) == (302, "/")
    home = client.get("/")
    assert home.status_code == 200
    # Whose page it is shows at its top; a note of it would only push what waits further down.
    assert not list(home.context["messages"])


def test_one_returns_to_where_one_was_going(client):
    there = client.get("/requests/?show=all")["Location"]
    assert there == "/sign-in/?next=/requests/%3Fshow%3Dall"
    page = client.get(there).content.decode()
    assert 'name="next" value="/requests/?show=all"' in page
    assert sign_in(client, next="/requests/?show=all")["Location"] == "/requests/?show=all"


@pytest.mark.parametrize(
    "next_url",
    [
        "//evil.example",
        "https://evil.example/",
        "/\\evil.example",
        "javascript:alert(1)",
        "http:///evil.example",
        "\t//evil.example",
    ],
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
    from django.contrib.auth.hashers import ScryptPasswordHasher

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


@pytest.mark.parametrize("spelling", ["ALICE", " alice ", "ａｌｉｃｅ", "Alice"])
def test_every_spelling_is_the_same_person(client, spelling):
    assert sign_in(client, spelling).status_code == 302


def test_failures_are_counted_over_all_spellings(client):
    for spelling in ("alice", "ALICE", " alice", "Alice ", "ａｌｉｃｅ"):
        sign_in(client, spelling, "wrong password")
    locked = sign_in(client)
    assert locked.status_code == 200
    assert re.search(r"Too many wrong passwords\. Try again in (1 minute|\d+ seconds)\.", errors(locked))
    assert "_auth_user_id" not in client.session


def test_locking_tells_nothing_about_who_exists(client):
    guessed(name="nobody")
    assert "Too many wrong passwords" in errors(sign_in(client, "nobody", "wrong password"))


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


def test_where_one_has_signed_in_before_guesses_from_elsewhere_delay_nothing(client):
    assert sign_in(client).status_code == 302
    for number in range(100):
        count_attempt(Secret.PASSWORD, account="alice", address=f"203.0.113.{number}", now=clock.now())
    assert "from where you signed in before" in errors(sign_in(Client(REMOTE_ADDR="192.0.2.9")))
    assert sign_in(Client()).status_code == 302


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


def test_the_database_has_no_table_of_pickles(client):
    assert "stint_cache" not in connection.introspection.table_names()


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
    assert "disabled" in client.get(answer["Location"]).content.decode()


def test_signing_in_needs_the_token_of_our_form():
    client = Client(enforce_csrf_checks=True)
    assert sign_in(client).status_code == 403
    assert client.get("/").status_code == 302


def test_signing_out_is_an_act_and_ends_the_session(client):
    sign_in(client)
    key = client.session.session_key
    assert "Sign out?" in client.get("/sign-out/").content.decode()
    assert client.get("/").status_code == 200
    assert client.post("/sign-out/")["Location"] == "/sign-in/"
    assert client.get("/").status_code == 302
    assert not Session.objects.filter(session_key=key).exists()


def test_the_cookie_is_out_of_reach_of_scripts_and_other_sites(client):
    sign_in(client)
    cookie = client.cookies["stint_session"]
    assert cookie["httponly"]
    assert cookie["samesite"] == "Lax"
    assert client.cookies["stint_csrf"]["httponly"]


@pytest.mark.parametrize(
    "path",
    [
        "accounts/signup/",
        "signup/",
        "accounts/login/",
        "password/reset/",
        "sign-in/code/",
        "email/",
        "accounts/password/reset/",
    ],
)
def test_nothing_else_of_the_sign_in_library_is_there(client, path):
    assert client.get(f"/{path}").status_code == 404


def test_signing_in_and_out_is_recorded_with_where_it_came_from(client):
    sign_in(client)
    assert last("identity.signed_in", "alice").data == {"from": "127.0.0.1"}
    client.post("/sign-out/")
    assert events("alice")[-2:] == ["identity.signed_in", "identity.signed_out"]
    # Nobody is signed in, so nobody signs out.
    client.post("/sign-out/")
    assert events("alice").count("identity.signed_out") == 1


def test_a_failure_is_recorded_with_the_name_that_was_tried_and_never_with_the_password(client, world):
    for name in (" Alice", "nobody", "robot"):
        sign_in(client, name, "my-secret-guess")
        entry = last("identity.sign_in_failed", name.strip().lower())
        assert entry.data == {
            "name": name,
            "from": "127.0.0.1",
            "reason": "the name or the password is wrong",
        }
        assert "my-secret-guess" not in entry.body
    Identity.objects.filter(pk=world.bob.pk).update(is_active=False)
    sign_in(client, "bob")
    assert last("identity.sign_in_failed", "bob").data["reason"] == "the identity is disabled"
    assert "identity.signed_in" not in events()


def test_tries_beyond_the_limit_add_nothing_to_the_record(client):
    guessed()
    sign_in(client, "alice", "wrong password")
    assert "identity.sign_in_failed" not in events("alice")


def test_a_name_with_what_can_not_be_stored_is_refused_like_any_other(client):
    answer = sign_in(client, "a\0b", "wrong password")
    assert answer.status_code == 200
    assert "_auth_user_id" not in client.session


def test_an_unknown_name_costs_as_many_queries_as_a_known_one(client):
    def asked(name: str) -> list[str]:
        with CaptureQueriesContext(connection) as captured:
            sign_in(client, name, "wrong password")
        return [query["sql"][:20] for query in captured
                if "SAVEPOINT" not in query["sql"] and "clock_timestamp" not in query["sql"]]  # fmt: skip

    sign_in(client, "somebody", "wrong password")
    assert asked("alice") == asked("nobody")


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


def test_the_password_is_never_sent_back(client):
    page = sign_in(client, "alice", "my-secret-guess").content.decode()
    assert "my-secret-guess" not in page
    assert 'value="alice"' in page


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
