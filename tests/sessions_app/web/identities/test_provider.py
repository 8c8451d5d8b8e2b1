"""Signing in by the company's identity provider, over the wire, and every answer of it that signs
nobody in.
"""

import base64
import datetime as dt
import logging
import re
import time
from html import unescape
from urllib.parse import parse_qs, urlsplit

import pytest
from django.contrib.sessions.models import Session
from django.test import Client
from joserfc import jwk, jws

from accounts.models import APIToken, Identity, ProviderLink, SSHPublicKey
from broker.audit.models import AuditEntry
from broker.kernel import clock
from sessions_app.issuers import provider as adapter
from sessions_app.operations.identities.begin_provider_sign_in import ANSWER_PATH
from sessions_app.web.identities.provider import LONGEST
from tests.accounts.operations.test_start_device import start
from tests.sessions_app.web.test_access import PUBLIC_KEY
from tests.support.servers.identity_provider import (
    CLIENT_ID,
    CLIENT_SECRET,
    provider_on_loopback,
    settings_of,
)
from tests.support.world.acts import events, last
from tests.support.world.factors import give_app
from tests.support.world.reading import read
from tests.support.world.world import PASSWORD

BEGIN = "/sign-in/provider/"


@pytest.fixture
def provider():
    with provider_on_loopback() as running:
        yield running


@pytest.fixture(autouse=True)
def at_work(request, provider, settings) -> None:
    """People sign in by the provider."""
    for name, value in settings_of(provider).items():
        setattr(settings, name, value)
    if "live_world" not in request.fixturenames:
        request.getfixturevalue("world")


def begin(client: Client, **sent):
    return client.post(BEGIN, sent)


def place(page) -> str:
    """Where a page sends the browser on its own."""
    (found,) = re.findall(r'<meta http-equiv="refresh" content="0; url=([^"]+)">', page.content.decode())
    return unescape(found)


def come_back(client: Client, provider, **sent) -> str:
    """Begin, let the person in there, and return the address that the browser is sent back to,
    below our own.
    """
    there = urlsplit(place(begin(client, **sent)))
    assert f"{there.scheme}://{there.netloc}{there.path}" == f"{provider.url}/authorize"
    back = urlsplit(provider.let_in(there.query))
    assert f"{back.scheme}://{back.netloc}{back.path}" == f"http://127.0.0.1:8000{ANSWER_PATH}"
    return f"{back.path}?{back.query}"


def sign_in(client: Client, provider, **sent):
    return client.get(come_back(client, provider, **sent))


def nobody(client: Client) -> bool:
    return client.get("/").status_code == 302 and "_auth_user_id" not in client.session


def refused(client: Client, provider, status: int = 403) -> str:
    """What the page says that a sign-in ends with which signs nobody in."""
    answer = sign_in(client, provider)
    assert (answer.status_code, nobody(client)) == (status, True)
    return text(answer)


def text(answer) -> str:
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", answer.content.decode())).split())


# Who gets in


def test_whom_the_provider_proves_is_signed_in_and_lands_where_they_were_going(client, provider, world):
    there = client.get("/requests/?show=all")["Location"]
    page = read(client, there)
    assert "Sign in with Okta" in page
    assert page.count('name="next" value="/requests/?show=all"') == 2
    answer = sign_in(client, provider, next="/requests/?show=all")
    assert (answer.status_code, answer["Location"]) == (302, "/requests/?show=all")
    assert client.get("/account/").context["me"] == world.alice
    assert last("identity.signed_in", "alice").data == {"from": "127.0.0.1", "provider": provider.url}
    client.post("/sign-out/")
    assert nobody(client)
    assert events("alice")[-2:] == ["identity.signed_in", "identity.signed_out"]


@pytest.mark.parametrize("next_url", ["//evil.example", "/\\evil.example", "javascript:alert(1)"])
def test_nobody_is_sent_to_another_site(client, provider, next_url):
    assert sign_in(client, provider, next=next_url)["Location"] == "/"


def test_what_is_asked_of_the_provider_is_bound_to_this_browser_and_this_sign_in(client, provider):
    asked = [parse_qs(urlsplit(place(begin(client))).query) for _ in range(2)]
    for name in ("state", "nonce", "code_challenge"):
        (one,), (other,) = (query[name] for query in asked)
        assert one != other
        assert len(one) >= 43
    assert (asked[0]["code_challenge_method"], asked[0]["client_id"]) == (["S256"], [CLIENT_ID])
    assert asked[0]["redirect_uri"] == [f"http://127.0.0.1:8000{ANSWER_PATH}"]


def test_a_secret_goes_in_the_form_where_the_provider_takes_it_in_no_other_way(client, provider):
    provider.says = {"token_endpoint_auth_methods_supported": ["client_secret_post"]}
    assert sign_in(client, provider)["Location"] == "/"


def test_the_session_changes_at_sign_in_so_a_planted_one_is_worth_nothing(client, provider):
    back = come_back(client, provider)
    planted = client.session.session_key
    client.get(back)
    assert client.cookies["stint_session"].value != planted
    assert not Session.objects.filter(session_key=planted).exists()


def test_who_is_signed_in_already_stays_who_they_are(browser, provider, world):
    client = browser("bob")
    assert begin(client, next="/requests/")["Location"] == "/requests/"
    client = Client()
    back = come_back(client, provider)
    client.post("/sign-in/", {"login": "bob", "password": PASSWORD})
    assert client.get(back)["Location"] == "/"
    assert client.get("/account/").context["me"] == world.bob
    assert not ProviderLink.objects.exists()


# Whose answer it is


def test_a_sign_in_begins_by_our_form_and_by_nothing_else(provider):
    client = Client(enforce_csrf_checks=True)
    assert client.get(BEGIN).status_code == 405
    assert begin(client).status_code == 403
    assert provider.asked == []


def test_an_answer_that_another_browser_was_given_signs_nobody_in(client, provider):
    back = come_back(client, provider)
    other = Client()
    answer = other.get(back)
    assert (answer.status_code, "started in another browser" in text(answer)) == (400, True)
    assert nobody(other)
    # It is still good for whose it is, and after that for nobody.
    assert client.get(back).status_code == 302
    client.post("/sign-out/")
    assert client.get(back).status_code == 400
    assert nobody(client)


def test_an_answer_counts_once_also_when_it_signed_nobody_in(client, provider):
    back = come_back(client, provider)
    provider.person["email"] = "zoe@example.com"
    assert client.get(back).status_code == 403
    asked = list(provider.asked)
    assert client.get(back).status_code == 400
    assert provider.asked == asked


@pytest.mark.parametrize("sent", [{}, {"state": ""}, {"state": "guessed"}], ids=str)
def test_without_a_state_of_ours_nothing_is_even_asked(client, provider, sent):
    begin(client)
    asked = list(provider.asked)
    assert client.get(ANSWER_PATH, {"code": "c", **sent}).status_code == 400
    assert provider.asked == asked
    assert "identity.sign_in_failed" not in events()


def test_an_answer_that_comes_too_late_is_none(client, provider, monkeypatch):
    back = come_back(client, provider)
    later = clock.now() + dt.timedelta(seconds=LONGEST + 1)
    monkeypatch.setattr(clock, "now", lambda: later)
    assert client.get(back).status_code == 400


def test_a_code_of_another_browsers_sign_in_is_refused_by_its_challenge(client, provider):
    victim, thief = Client(), client
    stolen = parse_qs(urlsplit(come_back(victim, provider)).query)["code"][0]
    own = parse_qs(urlsplit(come_back(thief, provider)).query)
    answer = thief.get(ANSWER_PATH, {"state": own["state"][0], "iss": provider.url, "code": stolen})
    assert (answer.status_code, nobody(thief)) == (403, True)


def test_only_a_few_sign_ins_of_one_browser_are_kept(client, provider):
    first = come_back(client, provider)
    backs = [come_back(client, provider) for _ in range(3)]
    assert client.get(first).status_code == 400
    assert client.get(backs[0]).status_code == 302


@pytest.mark.parametrize("iss", ["", "https://other.example"])
def test_the_answer_says_whose_it_is_where_the_provider_says_that_it_does(client, provider, iss):
    provider.answer = {"iss": iss}
    assert "issuer mismatch" in refused(client, provider)
    assert "/token" not in provider.asked


def test_an_older_provider_need_not_say_whose_its_answer_is_but_must_not_lie(client, provider):
    provider.says = {"authorization_response_iss_parameter_supported": None}
    provider.answer = {"iss": "https://other.example"}
    assert sign_in(client, provider).status_code == 403
    provider.answer = {"iss": ""}
    assert sign_in(client, provider).status_code == 302


# What proves nothing


@pytest.mark.parametrize(
    "changes",
    [
        {"nonce": "another"},
        {"nonce": None},
        {"nonce": "\ud800"},
        {"nonce": 7},
        {"aud": "another"},
        {"aud": None},
        {"aud": []},
        {"aud": [CLIENT_ID, "another"]},
        {"aud": [CLIENT_ID, "another"], "azp": "another"},
        {"azp": "another"},
        {"iss": "https://other.example"},
        {"iss": None},
        {"exp": 1_000_000_000},
        {"exp": None},
        {"exp": True},
        {"exp": float("nan")},
        {"iat": 1_000_000_000},
        {"iat": 9_000_000_000},
        {"iat": None},
        {"nbf": 9_000_000_000},
        {"nbf": "x"},
        {"auth_time": "x"},
        {"auth_time": 9_000_000_000},
        {"auth_time": -1},
        {"sub": None},
        {"sub": ""},
        {"sub": "x" * 256},
        {"sub": "a\0b"},
        {"sub": 7},
        {"sub": "\ud800"},
        {"email": ""},
        {"email": "a\0b@example.com"},
        {"email": "x" * 300},
        {"email": 7},
        {"email": None},
        {"email": "al\ud800ice@example.com"},
        {"email_verified": False},
        {"email_verified": None},
        {"email_verified": "true"},
        {"email_verified": 1},
    ],
    ids=str,
)
def test_a_token_that_is_not_for_this_sign_in_signs_nobody_in(client, provider, changes):
    provider.person |= changes
    refused(client, provider)
    assert last("identity.sign_in_failed").data["from"] == "127.0.0.1"
    assert not ProviderLink.objects.exists()


def test_several_audiences_are_fine_where_the_token_was_given_to_us(client, provider):
    provider.person |= {"aud": ["other", CLIENT_ID], "azp": CLIENT_ID}
    assert sign_in(client, provider).status_code == 302


SPOILED = {
    "a key that nobody knows": {"header": {"kid": "unknown"}},
    "no name of a key": {"header": {"kid": None}},
    "a token for something else": {"header": {"typ": "at+jwt"}},
    "somebody else's key": {"key": jwk.RSAKey.generate_key(2048, {"kid": "key-1"})},
    "no token": {"answers": {"/token": (200, {}, b'{"access_token": "a"}')}},
    "one word": {"token": "x"},
    "three words": {"token": "a.b.c"},
    "no end": {"token": "x" * 20_000},
}


@pytest.mark.parametrize("changes", SPOILED.values(), ids=SPOILED)
def test_what_is_no_token_that_the_provider_signed_for_it_signs_nobody_in(client, provider, changes):
    for name, value in changes.items():
        setattr(provider, name, value)
    refused(client, provider)


def test_a_token_that_is_signed_with_the_shared_secret_is_refused(client, provider):
    back = come_back(client, provider)
    nonce = next(iter(provider.codes.values()))["nonce"]
    claims = base64.urlsafe_b64decode(provider.id_token(nonce).split(".")[1] + "==")
    header = {"alg": "HS256", "kid": "key-1", "typ": "JWT"}
    secret = jwk.OctKey.import_key(CLIENT_SECRET)
    provider.token = jws.serialize_compact(header, claims, secret, algorithms=["HS256"])
    assert client.get(back).status_code == 403
    assert nobody(client)


def test_what_the_provider_refuses_is_said_without_its_words(client, provider):
    query = parse_qs(urlsplit(place(begin(client))).query)
    sent = {
        "state": query["state"][0],
        "error": "<script>alert(1)</script>",
        "error_description": "canary-description",
    }
    answer = client.get(ANSWER_PATH, sent)
    entry = last("identity.sign_in_failed")
    assert (answer.status_code, nobody(client)) == (403, True)
    assert not [
        word
        for word in ("alert(1)", "canary")
        for said in (answer.content.decode(), entry.body)
        if word in said
    ]
    assert entry.data["reason"].startswith("it returned ")


# Whom the provider knows and we do not


def test_an_address_that_nobody_has_is_named_and_recorded_and_nobody_is_made(client, provider):
    count = Identity.objects.count()
    provider.person["email"] = "zoe@example.com"
    assert "No person has the email address zoe@example.com." in refused(client, provider)
    assert last("identity.sign_in_failed", "zoe@example.com").data["reason"].startswith("No person has")
    assert Identity.objects.count() == count


def test_letters_that_only_look_like_those_of_an_address_are_others(client, provider, world):
    Identity.objects.filter(pk=world.alice.pk).update(email="kim@example.com")
    for email in ("\u212aim@example.com", "k\u0131m@example.com"):
        provider.person["email"] = email
        assert sign_in(client, provider).status_code == 403
    provider.person["email"] = "KIM@example.com"
    assert sign_in(client, provider).status_code == 302


def test_of_two_people_with_one_address_neither_gets_in(client, provider, world):
    Identity.objects.filter(pk=world.bob.pk).update(email="Alice@example.com")
    assert "More than one person has the email address" in refused(client, provider)
    Identity.objects.filter(pk=world.bob.pk).update(is_active=False)
    assert sign_in(client, provider).status_code == 302


@pytest.mark.parametrize("linked", [False, True])
def test_a_disabled_person_does_not_get_in(client, provider, world, linked):
    if linked:
        sign_in(Client(), provider)
    Identity.objects.filter(pk=world.alice.pk).update(is_active=False)
    assert sign_in(client, provider)["Location"] == "/sign-in/disabled/"
    assert nobody(client)
    assert last("identity.sign_in_failed", "alice").data["reason"] == "the identity is disabled"
    assert ProviderLink.objects.exists() == linked


# A provider that fails


def test_a_provider_that_hangs_is_given_up_on_and_then_left_alone_for_a_while(client, provider, monkeypatch):
    monkeypatch.setattr("sessions_app.issuers.fetch.TOTAL_SECONDS", 0.3)
    provider.awake.clear()
    answer = begin(client)
    assert (answer.status_code, "Okta did not respond" in text(answer)) == (503, True)
    asked = list(provider.asked)
    assert begin(client).status_code == 503
    assert provider.asked == asked
    provider.awake.set()


def test_a_provider_that_hangs_at_the_end_signs_nobody_in(client, provider, monkeypatch):
    back = come_back(client, provider)
    monkeypatch.setattr("sessions_app.issuers.fetch.TOTAL_SECONDS", 0.3)
    provider.awake.clear()
    assert client.get(back).status_code == 503
    assert nobody(client)
    provider.awake.set()


@pytest.mark.parametrize(
    "answer",
    [
        (200, {}, b'{"id_token": "' + b"x" * 300_000 + b'"}'),
        (302, {"Location": "/keys"}, b""),
        (200, {}, b"[]"),
        (500, {}, b"{}"),
    ],
    ids=["too much", "a redirect", "no object", "an error"],
)
def test_a_provider_that_sends_something_odd_signs_nobody_in(client, provider, answer):
    provider.answers["/token"] = answer
    refused(client, provider, 503)


@pytest.mark.parametrize(
    "says",
    [
        {"issuer": "https://other.example"},
        {"authorization_endpoint": "javascript:alert(1)"},
        {"authorization_endpoint": None},
        {"token_endpoint": "ftp://127.0.0.1/"},
        {"jwks_uri": "https://[/"},
        {"token_endpoint_auth_methods_supported": ["private_key_jwt"]},
        {"token_endpoint_auth_methods_supported": "client_secret_basic"},
    ],
    ids=str,
)
def test_a_provider_that_describes_itself_oddly_is_not_gone_to(client, provider, says):
    provider.says = says
    assert begin(client).status_code == 503


def test_where_there_is_no_provider_nothing_of_it_is_there(client, settings):
    settings.OIDC_ISSUER = settings.OIDC_NAME = ""
    assert "Sign in with" not in read(client, "/sign-in/")
    assert begin(client).status_code == 404


def test_when_the_record_refuses_nobody_gets_in(live_world, provider, owner_connection):
    client = Client(raise_request_exception=False)
    owner_connection.execute("REVOKE EXECUTE ON FUNCTION audit_append_at_commit FROM stint_app")
    assert sign_in(client, provider).status_code == 500
    assert not ProviderLink.objects.exists()
    assert client.get("/").status_code == 302


def test_no_page_no_log_and_no_entry_repeats_what_must_be_kept(client, provider, caplog):
    caplog.set_level(logging.DEBUG)
    seen = []
    for changes in ({}, {"nonce": "another"}, {"email": "zoe@example.com", "sub": "00u9"}):
        provider.person |= changes
        browser = Client()
        there = place(begin(browser))
        back = urlsplit(provider.let_in(urlsplit(there).query))
        seen.append(read(browser, f"{back.path}?{back.query}"))
    provider.answers["/token"] = (400, {}, b'{"error": "canary-token-answer"}')
    seen.append(sign_in(Client(), provider).content.decode())
    seen += [caplog.text, *(entry.body for entry in AuditEntry.objects.all())]
    kept = [*provider.given, CLIENT_SECRET, "canary"]
    assert len(kept) > 8
    assert [one for one in kept if any(one in text for text in seen)] == []
    assert CLIENT_SECRET not in repr(adapter.Client("i", "c", CLIENT_SECRET, "r"))


# Groups


@pytest.mark.parametrize("claim", [7, {"operators": True}, ["operators", 7]])
def test_a_claim_that_is_no_list_of_names_signs_nobody_in(client, provider, world, settings, claim):
    settings.OIDC_GROUPS_CLAIM, settings.OIDC_GROUPS = "groups", ["operators"]
    provider.person["groups"] = claim
    refused(client, provider)
    assert "on-call" in set(world.alice.groups.values_list("name", flat=True))


# What it proves


def test_no_second_factor_of_ours_is_asked_for_after_the_provider_but_after_the_password(
    client, provider, world, settings
):
    settings.SECOND_FACTOR = "required"
    give_app(world.alice, world.now)
    assert sign_in(client, provider)["Location"] == "/"
    assert client.get("/account/").context["me"] == world.alice
    assert "second" in Client().post("/sign-in/", {"login": "alice", "password": PASSWORD})["Location"]


KEYS, KEY = "/account/keys/", {"public_key": PUBLIC_KEY, "label": "Laptop"}
CONFIRM = "/account/confirm/provider/"


def confirm(client: Client, provider, **sent):
    """Press the button, show the provider who one is if it asks, and come back."""
    back = urlsplit(provider.let_in(urlsplit(place(client.post(CONFIRM, sent))).query))
    return client.get(f"{back.path}?{back.query}")


@pytest.fixture
def silent(client, provider, world) -> Client:
    """Alice has no password here. The provider knows her from hours ago and asks her nothing."""
    world.alice.set_unusable_password()
    world.alice.save()
    provider.remembers = time.time() - 3 * 3600
    sign_in(client, provider)
    return client


def test_a_sign_in_at_which_the_provider_asked_nothing_makes_no_key_token_or_passkey_and_lets_no_program_in(
    silent, provider, world
):
    code = start(world).user_code
    for path, form in (
        (KEYS, KEY),
        ("/account/tokens/", {"label": "ci", "scope": ["read"], "days": "90"}),
        ("/account/factors/passkey/ask/", {}),
        ("/device/", {"user_code": code, "answer": "allow"}),
    ):
        answer = silent.post(path, form)
        assert (answer.status_code, "Confirm it's you" in text(answer)) == (403, True), path
    assert not SSHPublicKey.objects.exists()
    assert not APIToken.objects.exists()
    # Signing out and in again, which asks nothing either, changes nothing.
    silent.post("/sign-out/")
    assert sign_in(silent, provider)["Location"] == "/"
    assert silent.post(KEYS, KEY).status_code == 403


def test_a_sign_in_at_which_the_provider_asked_just_now_is_a_proof(client, provider, world):
    sign_in(client, provider)
    assert client.post(KEYS, KEY)["Location"] == "/account/"
    assert SSHPublicKey.objects.get().identity == world.alice


def test_one_confirms_with_the_provider_which_asks_again_and_goes_on_with_what_was_typed(silent, provider):
    page = silent.post(KEYS, KEY).content.decode()
    assert "Confirm with Okta" in page
    assert 'type="password"' not in page
    assert f'name="public_key" value="{PUBLIC_KEY}"' in unescape(page)
    assert confirm(silent, provider, next="/device/?user_code=x")["Location"] == "/device/?user_code=x"
    assert silent.post(KEYS, KEY)["Location"] == "/account/"
    assert SSHPublicKey.objects.get().label == "Laptop"


def test_another_account_at_the_provider_confirms_nothing_and_signs_nobody_in(silent, provider, world):
    provider.person |= {"sub": "00u2", "email": "bob@example.com"}
    answer = confirm(silent, provider)
    assert (answer.status_code, "This is not your account at Okta." in text(answer)) == (403, True)
    assert silent.get("/account/").context["me"] == world.alice
    assert silent.post(KEYS, KEY).status_code == 403
    assert not ProviderLink.objects.filter(subject="00u2").exists()


def test_a_provider_that_does_not_say_when_it_asked_confirms_nothing(silent, provider):
    provider.tells = False
    answer = confirm(silent, provider)
    assert (answer.status_code, "Okta did not report when" in text(answer)) == (403, True)
    assert silent.post(KEYS, KEY).status_code == 403


def test_a_confirmation_counts_only_while_who_began_it_is_signed_in(silent, provider, world):
    there = urlsplit(place(silent.post(CONFIRM)))
    back = urlsplit(provider.let_in(there.query))
    silent.force_login(world.bob, backend="accounts.backends.PasswordBackend")
    assert silent.get(f"{back.path}?{back.query}").status_code == 400
    assert silent.get("/account/").context["me"] == world.bob
    assert Client().post(CONFIRM).status_code == 302


# Passwords beside it


def test_where_passwords_are_off_only_administrators_have_a_form_and_get_in(client, settings):
    settings.PASSWORD_SIGN_IN = False
    page = read(client, "/sign-in/?next=/requests/")
    assert 'type="password"' not in page
    (link,) = re.findall(r'href="([^"]+)">Administrators: sign in with a password', page)
    assert 'type="password"' in read(client, unescape(link))
    answers = [
        Client().post("/sign-in/", {"login": "alice", "password": word}) for word in (PASSWORD, "a wrong one")
    ]
    said, wrong = (answer.context["form"].non_field_errors() for answer in answers)
    assert list(said) == list(wrong) != []
    there = client.post("/sign-in/", {"login": "admin", "password": PASSWORD, "next": "/requests/"})
    assert there["Location"] == "/requests/"


def test_where_passwords_are_off_people_are_added_by_their_address_and_without_a_password(
    browser, client, provider, settings
):
    settings.PASSWORD_SIGN_IN = False
    form = {"kind": "person", "username": "zoe", "email": "zoe@example.com"}
    made = browser("admin").post("/new/identity/", form)
    assert "sign in through the identity provider as zoe@example.com" in text(made)
    assert not Identity.objects.get(username="zoe").has_usable_password()
    provider.person["email"] = "zoe@example.com"
    assert sign_in(client, provider).status_code == 302


# The link on pages


def test_an_administrator_unlinks_somebody_who_is_signed_out_everywhere(browser, client, provider):
    sign_in(client, provider)
    password, bob, admin = browser("alice"), browser("bob"), browser("admin")
    assert "00u1" in text(admin.get("/people/alice/"))
    assert f"{provider.url} as alice@example.com (00u1)" in text(client.get("/account/"))
    for other in (bob, client):
        assert other.post("/people/alice/unlink/").status_code == 404
    assert admin.post("/people/alice/unlink/")["Location"] == "/people/alice/"
    assert not ProviderLink.objects.exists()
    assert [nobody(one) for one in (client, password, bob, admin)] == [True, True, False, False]
