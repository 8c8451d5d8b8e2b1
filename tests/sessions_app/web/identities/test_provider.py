"""Signing in by the company's identity provider, over the wire, and every answer of it that signs nobody in."""

from __future__ import annotations

import base64
import datetime as dt
import json
import logging
import re
import time
from html import unescape
from urllib.parse import parse_qs, urlsplit

import pytest
from allauth.mfa.models import Authenticator
from django.contrib.sessions.models import Session
from django.test import Client
from joserfc import jwk, jws

from accounts.models import APIToken, Identity, ProviderLink, SSHPublicKey
from broker.audit.models import AuditEntry
from sessions_app.issuers import provider as adapter
from sessions_app.models import Grant, GrantState
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
from tests.support.world.factors import SECRET, code_of, give_app
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


@pytest.fixture
def client() -> Client:
    return Client()


def begin(client: Client, **sent):
    return client.post(BEGIN, sent)


def place(page) -> str:
    """Where a page sends the browser on its own."""
    (found,) = re.findall(r'<meta http-equiv="refresh" content="0; url=([^"]+)">', page.content.decode())
    return unescape(found)


def come_back(client: Client, provider, **sent) -> str:
    """Begin, let the person in there, and return the address that the browser is sent back to, below our own."""
    there = urlsplit(place(begin(client, **sent)))
    assert f"{there.scheme}://{there.netloc}{there.path}" == f"{provider.url}/authorize"
    back = urlsplit(provider.let_in(there.query))
    assert f"{back.scheme}://{back.netloc}{back.path}" == f"http://127.0.0.1:8000{ANSWER_PATH}"
    return f"{back.path}?{back.query}"


def sign_in(client: Client, provider, **sent):
    return client.get(come_back(client, provider, **sent))


def nobody(client: Client) -> bool:
    return client.get("/").status_code == 302 and "_auth_user_id" not in client.session


def text(answer) -> str:
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", answer.content.decode())).split())


# --- Who gets in -------------------------------------------------------------------------------------------------


def test_whom_the_provider_proves_is_signed_in_and_lands_where_they_were_going(client, provider, world):
    there = client.get("/requests/?show=all")["Location"]
    page = client.get(there).content.decode()
    assert "Sign in with Okta" in page
    assert page.count('name="next" value="/requests/?show=all"') == 2
    answer = sign_in(client, provider, next="/requests/?show=all")
    assert (answer.status_code, answer["Location"]) == (302, "/requests/?show=all")
    assert client.get("/account/").context["me"] == world.alice
    assert last("identity.signed_in", "alice").data == {"from": "127.0.0.1", "provider": provider.url}
    client.post("/sign-out/")
    assert nobody(client)
    assert events("alice")[-2:] == ["identity.signed_in", "identity.signed_out"]


@pytest.mark.parametrize(
    "next_url", ["//evil.example", "https://evil.example/", "/\\evil.example", "javascript:alert(1)", ""]
)
def test_nobody_is_sent_to_another_site(client, provider, next_url):
    assert sign_in(client, provider, next=next_url)["Location"] == "/"


def test_what_is_asked_of_the_provider_is_bound_to_this_browser_and_this_sign_in(client, provider):
    asked = [parse_qs(urlsplit(place(begin(client))).query) for _ in range(2)]
    for name in ("state", "nonce", "code_challenge"):
        (one,), (other,) = (query[name] for query in asked)
        assert one != other
        assert len(one) >= 43
    assert asked[0]["code_challenge_method"] == ["S256"]
    assert asked[0]["client_id"] == [CLIENT_ID]
    assert asked[0]["redirect_uri"] == [f"http://127.0.0.1:8000{ANSWER_PATH}"]


def test_a_secret_goes_in_the_form_where_the_provider_takes_it_in_no_other_way(client, provider):
    provider.says = {"token_endpoint_auth_methods_supported": ["client_secret_post"]}
    assert sign_in(client, provider)["Location"] == "/"


def test_the_link_is_made_once_by_address_and_never_moves_by_one(client, provider, world):
    provider.person["email"] = "ALICE@Example.com"
    sign_in(client, provider)
    link = ProviderLink.objects.get()
    assert (link.identity_id, link.subject, link.email) == (world.alice.pk, "00u1", "alice@example.com")
    assert last("identity.linked", "alice").data == {
        "issuer": provider.url, "subject": "00u1", "email": "alice@example.com"}  # fmt: skip
    # Bob's address means nothing any more, nor that there is none.
    for email, verified in (("bob@example.com", True), (None, None)):
        again = Client()
        provider.person |= {"email": email, "email_verified": verified}
        sign_in(again, provider)
        assert again.get("/account/").context["me"] == world.alice
    assert events("alice").count("identity.linked") == 1


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


# --- Whose answer it is ------------------------------------------------------------------------------------------


def test_a_sign_in_begins_by_our_form_and_by_nothing_else(provider):
    client = Client(enforce_csrf_checks=True)
    assert client.get(BEGIN).status_code == 405
    assert begin(client).status_code == 403
    assert provider.asked == []


def test_an_answer_that_another_browser_was_given_signs_nobody_in(client, provider):
    back = come_back(client, provider)
    other = Client()
    refused = other.get(back)
    assert refused.status_code == 400
    assert "started in another browser" in text(refused)
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


@pytest.mark.parametrize("state", [None, "", "guessed"])
def test_without_a_state_of_ours_nothing_is_even_asked(client, provider, state):
    begin(client)
    asked = list(provider.asked)
    sent = {"code": "c", **({} if state is None else {"state": state})}
    assert client.get(ANSWER_PATH, sent).status_code == 400
    assert provider.asked == asked
    assert "identity.sign_in_failed" not in events()


def test_an_answer_that_comes_too_late_is_none(client, provider, monkeypatch):
    back = come_back(client, provider)
    from broker.kernel import clock

    later = clock.now() + dt.timedelta(seconds=LONGEST + 1)
    monkeypatch.setattr(clock, "now", lambda: later)
    assert client.get(back).status_code == 400


def test_a_code_that_was_used_is_refused_in_another_sign_in_too(client, provider):
    sign_in(client, provider)
    (code,) = [one for one in provider.given if "." not in one][:1]
    other = Client()
    query = parse_qs(urlsplit(come_back(other, provider)).query)
    refused = other.get(ANSWER_PATH, {"state": query["state"][0], "iss": provider.url, "code": code})
    assert refused.status_code == 403
    assert nobody(other)


def test_a_code_of_another_browsers_sign_in_is_refused_by_its_challenge(client, provider):
    victim, thief = Client(), client
    stolen = parse_qs(urlsplit(come_back(victim, provider)).query)["code"][0]
    own = parse_qs(urlsplit(come_back(thief, provider)).query)
    refused = thief.get(ANSWER_PATH, {"state": own["state"][0], "iss": provider.url, "code": stolen})
    assert refused.status_code == 403
    assert nobody(thief)


def test_only_a_few_sign_ins_of_one_browser_are_kept(client, provider):
    first = come_back(client, provider)
    backs = [come_back(client, provider) for _ in range(3)]
    assert client.get(first).status_code == 400
    assert client.get(backs[0]).status_code == 302


def test_too_many_tries_from_one_place_are_answered_with_a_page(client, provider):
    codes = [begin(client).status_code for _ in range(32)]
    assert codes[-1] == 429


@pytest.mark.parametrize("iss", ["", "https://other.example"])
def test_the_answer_says_whose_it_is_where_the_provider_says_that_it_does(client, provider, iss):
    provider.answer = {"iss": iss}
    refused = sign_in(client, provider)
    assert refused.status_code == 403
    assert "issuer mismatch" in text(refused)
    assert "/token" not in provider.asked
    assert nobody(client)


def test_an_older_provider_need_not_say_whose_its_answer_is_but_must_not_lie(client, provider):
    provider.says = {"authorization_response_iss_parameter_supported": None}
    provider.answer = {"iss": "https://other.example"}
    assert sign_in(client, provider).status_code == 403
    provider.answer = {"iss": ""}
    assert sign_in(client, provider).status_code == 302


# --- What proves nothing -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "changes",
    [
        {"nonce": "another"}, {"nonce": None}, {"nonce": "\ud800"}, {"nonce": 7},
        {"aud": "another"}, {"aud": None}, {"aud": []}, {"aud": [CLIENT_ID, "another"]},
        {"aud": [CLIENT_ID, "another"], "azp": "another"}, {"azp": "another"},
        {"iss": "https://other.example"}, {"iss": None},
        {"exp": 1_000_000_000}, {"exp": None}, {"exp": True}, {"exp": float("nan")},
        {"iat": 1_000_000_000}, {"iat": 9_000_000_000}, {"iat": None}, {"nbf": 9_000_000_000}, {"nbf": "x"},
        {"auth_time": "x"}, {"auth_time": 9_000_000_000}, {"auth_time": -1},
        {"sub": None}, {"sub": ""}, {"sub": "x" * 256}, {"sub": "a\0b"}, {"sub": 7}, {"sub": "\ud800"},
    ],
    ids=str,
)  # fmt: skip
def test_a_token_that_is_not_for_this_sign_in_signs_nobody_in(client, provider, changes):
    provider.person |= changes
    refused = sign_in(client, provider)
    assert refused.status_code == 403
    assert "Sign-in with" in text(refused)
    assert nobody(client)
    entry = last("identity.sign_in_failed")
    assert (entry.object_ref, entry.data["from"]) == ("?", "127.0.0.1")
    assert not ProviderLink.objects.exists()


def test_several_audiences_are_fine_where_the_token_was_given_to_us(client, provider):
    provider.person |= {"aud": ["other", CLIENT_ID], "azp": CLIENT_ID}
    assert sign_in(client, provider).status_code == 302


@pytest.mark.parametrize(
    "header",
    [{"kid": "unknown"}, {"kid": None}, {"typ": "at+jwt"}],
    ids=str,
)
def test_a_token_with_a_head_that_is_not_understood_is_refused(client, provider, header):
    provider.header = header
    assert sign_in(client, provider).status_code == 403
    assert nobody(client)


def test_a_token_that_somebody_else_signed_is_refused(client, provider):
    provider.key = jwk.RSAKey.generate_key(2048, {"kid": "key-1"})
    refused = sign_in(client, provider)
    assert refused.status_code == 403
    assert "Signed by the issuer" in text(refused)


def test_a_token_that_is_signed_with_the_shared_secret_or_with_nothing_is_refused(client, provider):
    for kind in ("none", "HS256"):
        back = come_back(client, provider)
        nonce = next(iter(provider.codes.values()))["nonce"]
        payload = provider.id_token(nonce).split(".")[1]
        header = {"alg": kind, "kid": "key-1", "typ": "JWT"}
        if kind == "none":
            head = base64.urlsafe_b64encode(json.dumps(header).encode()).decode().rstrip("=")
            provider.token = f"{head}.{payload}."
        else:
            claims = base64.urlsafe_b64decode(payload + "==")
            secret = jwk.OctKey.import_key(CLIENT_SECRET)
            provider.token = jws.serialize_compact(header, claims, secret, algorithms=["HS256"])
        assert client.get(back).status_code == 403
        assert nobody(client)


@pytest.mark.parametrize(
    "token", ["", "x", "a.b.c", "a.b", "x" * 20_000], ids=["none", "one", "odd", "two", "long"]
)
def test_what_is_no_token_is_refused(client, provider, token):
    provider.token = token or None
    if not token:
        provider.answers["/token"] = (200, {}, b'{"access_token": "a"}')
    assert sign_in(client, provider).status_code == 403
    assert nobody(client)


@pytest.mark.parametrize("error", ["access_denied", "<script>alert(1)</script>", ""])
def test_what_the_provider_refuses_is_said_without_its_words(client, provider, error):
    query = parse_qs(urlsplit(place(begin(client))).query)
    sent = {"state": query["state"][0], "error": error, "error_description": "canary-description"}
    refused = client.get(ANSWER_PATH, sent)
    assert refused.status_code == 403
    page = refused.content.decode()
    assert "alert(1)" not in page
    assert "alert(1)" not in last("identity.sign_in_failed").body
    assert "canary" not in page
    assert last("identity.sign_in_failed").data["reason"].startswith("it returned ")
    assert nobody(client)


# --- Whom the provider knows and we do not -----------------------------------------------------------------------


def test_an_address_that_the_provider_did_not_verify_is_nobodys(client, provider):
    for verified in (False, None, "true", 1):
        provider.person["email_verified"] = verified
        refused = sign_in(client, provider)
        assert refused.status_code == 403
        assert "email_verified" in text(refused)
    assert nobody(client)
    assert events()[-1] == "identity.sign_in_failed"


def test_an_address_that_nobody_has_is_named_and_recorded_and_nobody_is_made(client, provider):
    count = Identity.objects.count()
    provider.person["email"] = "zoe@example.com"
    refused = sign_in(client, provider)
    assert refused.status_code == 403
    assert "No person has the email address zoe@example.com." in text(refused)
    assert "to add you" in text(refused)
    assert last("identity.sign_in_failed", "zoe@example.com").data["reason"].startswith("No person has")
    assert Identity.objects.count() == count
    assert nobody(client)


@pytest.mark.parametrize("email", ["", "a\0b@example.com", "x" * 300, 7, None, "al\ud800ice@example.com"])
def test_an_address_that_is_none_is_nobodys(client, provider, email):
    provider.person["email"] = email
    provider.answer = {}
    there = urlsplit(place(begin(client)))
    back = urlsplit(provider.let_in(there.query))
    assert client.get(f"{back.path}?{back.query}").status_code == 403


def test_letters_that_only_look_like_those_of_an_address_are_others(client, provider, world):
    Identity.objects.filter(pk=world.alice.pk).update(email="kim@example.com")
    for email in ("\u212aim@example.com", "k\u0131m@example.com"):
        provider.person["email"] = email
        assert sign_in(client, provider).status_code == 403
    provider.person["email"] = "KIM@example.com"
    assert sign_in(client, provider).status_code == 302


def test_of_two_people_with_one_address_neither_gets_in(client, provider, world):
    Identity.objects.filter(pk=world.bob.pk).update(email="Alice@example.com")
    refused = sign_in(client, provider)
    assert refused.status_code == 403
    assert "More than one person has the email address" in text(refused)
    assert nobody(client)
    Identity.objects.filter(pk=world.bob.pk).update(is_active=False)
    assert sign_in(client, provider).status_code == 302


def test_a_second_account_of_the_provider_with_the_address_of_who_is_linked_is_refused(client, provider):
    sign_in(client, provider)
    other = Client()
    provider.person["sub"] = "00u2"
    refused = sign_in(other, provider)
    assert refused.status_code == 403
    assert "linked to another account" in text(refused)
    assert nobody(other)


def test_machines_never_sign_in_even_with_an_address(client, provider, world):
    Identity.objects.filter(pk=world.robot.pk).update(email="robot@example.com")
    provider.person["email"] = "robot@example.com"
    assert sign_in(client, provider).status_code == 403
    assert nobody(client)


def test_a_disabled_person_does_not_get_in_and_is_not_linked(client, provider, world):
    Identity.objects.filter(pk=world.alice.pk).update(is_active=False)
    answer = sign_in(client, provider)
    assert answer["Location"] == "/sign-in/disabled/"
    assert nobody(client)
    assert last("identity.sign_in_failed", "alice").data["reason"] == "the identity is disabled"
    assert not ProviderLink.objects.exists()


def test_who_was_linked_and_then_disabled_does_not_get_in(client, provider, world):
    sign_in(client, provider)
    Identity.objects.filter(pk=world.alice.pk).update(is_active=False)
    again = Client()
    assert sign_in(again, provider)["Location"] == "/sign-in/disabled/"
    assert nobody(again)
    assert client.get("/").status_code == 302


# --- A provider that fails ---------------------------------------------------------------------------------------


def test_a_provider_that_hangs_is_given_up_on_and_then_left_alone_for_a_while(client, provider, monkeypatch):
    monkeypatch.setattr("sessions_app.issuers.fetch.TOTAL_SECONDS", 0.3)
    provider.awake.clear()
    refused = begin(client)
    assert refused.status_code == 503
    assert "Okta did not answer" in text(refused)
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


def test_a_provider_that_sends_too_much_or_something_odd_signs_nobody_in(client, provider):
    huge = b'{"id_token": "' + b"x" * 300_000 + b'"}'
    for answer in ((200, {}, huge), (302, {"Location": "/keys"}, b""), (200, {}, b"[]"), (500, {}, b"{}")):
        provider.answers["/token"] = answer
        assert sign_in(client, provider).status_code == 503
    assert nobody(client)


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


def test_an_inner_address_is_asked_only_where_a_setting_names_its_network(client, provider, settings):
    settings.ISSUER_NETWORKS = []
    assert begin(client).status_code == 503
    assert provider.asked == []


def test_where_there_is_no_provider_nothing_of_it_is_there(client, settings):
    settings.OIDC_ISSUER = settings.OIDC_NAME = ""
    assert "Sign in with" not in client.get("/sign-in/").content.decode()
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
        seen.append(browser.get(f"{back.path}?{back.query}").content.decode())
    provider.answers["/token"] = (400, {}, b'{"error": "canary-token-answer"}')
    seen.append(sign_in(Client(), provider).content.decode())
    seen += [
        caplog.text,
        *(entry.body for entry in AuditEntry.objects.all()),
    ]
    kept = [*provider.given, CLIENT_SECRET, "canary"]
    assert len(kept) > 8
    assert [one for one in kept if any(one in text for text in seen)] == []
    assert CLIENT_SECRET not in repr(adapter.Client("i", "c", CLIENT_SECRET, "r"))


# --- Groups ------------------------------------------------------------------------------------------------------


def test_groups_that_the_provider_governs_follow_its_claim_and_others_stay(client, provider, world, settings):
    settings.OIDC_GROUPS_CLAIM, settings.OIDC_GROUPS = "groups", ["operators", "approvers", "new-team"]
    grant = world.grant()
    provider.person["groups"] = ["approvers", "new-team", "not-governed"]
    sign_in(client, provider)
    assert set(world.alice.groups.values_list("name", flat=True)) == {"approvers", "new-team", "on-call"}
    # As if an administrator had: what rested on the lost group ends, and the record says who was taken out.
    assert Grant.objects.get(pk=grant.pk).state == GrantState.REVOKING
    entry = last("permission.changed", "operators")
    assert entry.actor == "system:provider"
    assert "alice" in entry.data["before"]
    assert "alice" not in entry.data["after"]
    assert entry.data["grants_ended"] == [grant.ref]
    count = AuditEntry.objects.filter(event="permission.changed").count()
    sign_in(Client(), provider)
    assert AuditEntry.objects.filter(event="permission.changed").count() == count


def test_without_the_claim_one_is_in_no_group_that_the_provider_governs(client, provider, world, settings):
    settings.OIDC_GROUPS_CLAIM, settings.OIDC_GROUPS = "groups", ["operators"]
    assert sign_in(client, provider).status_code == 302
    assert set(world.alice.groups.values_list("name", flat=True)) == {"on-call"}


@pytest.mark.parametrize("claim", [7, {"operators": True}, ["operators", 7], None])
def test_a_claim_that_is_no_list_of_names_signs_nobody_in(client, provider, world, settings, claim):
    settings.OIDC_GROUPS_CLAIM, settings.OIDC_GROUPS = "groups", ["operators"]
    provider.person["groups"] = claim
    answer = sign_in(client, provider)
    if claim is None:  # left out
        assert answer.status_code == 302
        return
    assert answer.status_code == 403
    assert nobody(client)
    assert "on-call" in set(world.alice.groups.values_list("name", flat=True))
    assert last("identity.sign_in_failed", "alice")


def test_a_disabled_persons_groups_stay_as_they_are(client, provider, world, settings):
    settings.OIDC_GROUPS_CLAIM, settings.OIDC_GROUPS = "groups", ["operators"]
    Identity.objects.filter(pk=world.alice.pk).update(is_active=False)
    sign_in(client, provider)
    assert "operators" in set(world.alice.groups.values_list("name", flat=True))


# --- Second factors, which are the provider's matter ---------------------------------------------------------------


def test_no_second_factor_of_ours_is_asked_for_after_the_provider(client, provider, world, now, settings):
    settings.SECOND_FACTOR = "required"
    sign_in(client, provider)
    assert client.get("/").status_code == 200
    settings.SECOND_FACTOR = "optional"
    Authenticator.objects.create(user=world.alice, type=Authenticator.Type.TOTP, data={"secret": "sealed"})
    again = Client()
    assert sign_in(again, provider)["Location"] == "/"
    assert again.get("/account/").context["me"] == world.alice
    # With the password it is.
    assert "second" in Client().post("/sign-in/", {"login": "alice", "password": PASSWORD})["Location"]


# --- What it proves ------------------------------------------------------------------------------------------------


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
        refused = silent.post(path, form)
        assert (refused.status_code, "Confirm it's you" in text(refused)) == (403, True), path
    assert not SSHPublicKey.objects.exists()
    assert not APIToken.objects.exists()
    # Signing out and in again, which asks nothing either, changes nothing.
    silent.post("/sign-out/")
    assert sign_in(silent, provider)["Location"] == "/"
    assert silent.post(KEYS, KEY).status_code == 403


def test_nor_does_a_sign_in_of_which_the_provider_does_not_say_when_it_asked(client, provider):
    provider.tells = False
    assert sign_in(client, provider)["Location"] == "/"
    assert client.post(KEYS, KEY).status_code == 403


def test_a_sign_in_at_which_the_provider_asked_just_now_is_a_proof(client, provider, world):
    sign_in(client, provider)
    assert client.post(KEYS, KEY)["Location"] == "/account/"
    assert SSHPublicKey.objects.get().identity == world.alice


def test_who_has_a_second_factor_here_shows_it_whatever_the_provider_asked(client, provider, world):
    give_app(world.alice, world.now)
    # A password without the factor is no proof, in a sign-in that the provider then completes.
    client.post("/sign-in/", {"login": "alice", "password": PASSWORD})
    sign_in(client, provider)
    refused = client.post(KEYS, KEY)
    assert (refused.status_code, "Confirm with Okta" in text(refused)) == (403, False)
    assert confirm(client, provider).status_code == 403
    assert client.post(KEYS, KEY).status_code == 403
    client.post(KEYS, {**KEY, "proves": "1", "code": code_of(SECRET, world.now)})
    assert SSHPublicKey.objects.get().label == "Laptop"


def test_one_confirms_with_the_provider_which_asks_again_and_goes_on_with_what_was_typed(silent, provider):
    page = silent.post(KEYS, KEY).content.decode()
    assert "Confirm with Okta" in page
    assert 'type="password"' not in page
    assert f'name="public_key" value="{PUBLIC_KEY}"' in unescape(page)
    assert "password" not in re.sub("<[^>]+>", " ", page)
    assert confirm(silent, provider, next="/device/?user_code=x")["Location"] == "/device/?user_code=x"
    assert silent.get("/device/").status_code == 200
    assert silent.post(KEYS, KEY)["Location"] == "/account/"
    assert SSHPublicKey.objects.get().label == "Laptop"


@pytest.mark.parametrize("another", ["linked to someone else", "linked to no one"])
def test_another_account_at_the_provider_confirms_nothing_and_signs_nobody_in(
    silent, provider, world, another
):
    provider.person |= {"sub": "00u2", "email": "bob@example.com"}
    if another == "linked to someone else":
        sign_in(Client(), provider)
    refused = confirm(silent, provider)
    assert refused.status_code == 403
    assert "This is not your account at Okta." in text(refused)
    assert silent.get("/account/").context["me"] == world.alice
    assert silent.post(KEYS, KEY).status_code == 403
    assert last("identity.sign_in_failed", "alice").data["reason"] == "This is not your account at Okta."
    assert ProviderLink.objects.filter(subject="00u2").exists() == (another == "linked to someone else")


@pytest.mark.parametrize(
    ("how", "says"), [("heeds", "Okta did not ask who you are."), ("tells", "Okta did not say when")]
)
def test_a_provider_that_did_not_ask_or_does_not_say_when_confirms_nothing(silent, provider, how, says):
    setattr(provider, how, False)
    refused = confirm(silent, provider)
    assert refused.status_code == 403
    assert says in text(refused)
    assert silent.post(KEYS, KEY).status_code == 403


def test_a_confirmation_counts_only_while_who_began_it_is_signed_in(silent, provider, world):
    there = urlsplit(place(silent.post(CONFIRM)))
    back = urlsplit(provider.let_in(there.query))
    silent.force_login(world.bob, backend="accounts.backends.PasswordBackend")
    assert silent.get(f"{back.path}?{back.query}").status_code == 400
    assert silent.get("/account/").context["me"] == world.bob
    assert Client().post(CONFIRM).status_code == 302


# --- Passwords beside it -----------------------------------------------------------------------------------------


def test_where_passwords_are_off_only_administrators_have_a_form_and_get_in(client, settings):
    settings.PASSWORD_SIGN_IN = False
    page = client.get("/sign-in/?next=/requests/").content.decode()
    assert 'type="password"' not in page
    (link,) = re.findall(r'href="([^"]+)">Administrators: sign in with a password', page)
    assert unescape(link) == "/sign-in/?password&next=%2Frequests%2F"
    form = client.get(unescape(link)).content.decode()
    assert 'type="password"' in form
    assert "Only administrators sign in with a password" in form
    refused = client.post("/sign-in/", {"login": "alice", "password": PASSWORD})
    wrong = Client().post("/sign-in/", {"login": "alice", "password": "wrong password"})
    assert refused.context["form"].non_field_errors() == wrong.context["form"].non_field_errors()
    assert refused.context["form"].non_field_errors()
    assert 'type="password"' in refused.content.decode()
    assert nobody(client)
    assert last("identity.sign_in_failed", "alice")
    there = client.post("/sign-in/", {"login": "admin", "password": PASSWORD, "next": "/requests/"})
    assert there["Location"] == "/requests/"


def test_where_passwords_are_off_people_are_added_by_their_address_and_without_a_password(
    browser, client, provider, settings
):
    settings.PASSWORD_SIGN_IN = False
    admin = browser("admin")
    refused = admin.post("/new/identity/", {"kind": "person", "username": "zoe"})
    assert refused.status_code == 400
    assert (
        "A person needs an email address. Accounts with the same one count as one person. Enter an email address."
        in text(refused)
    )
    made = admin.post("/new/identity/", {"kind": "person", "username": "zoe", "email": "zoe@example.com"})
    assert "sign in through the identity provider as zoe@example.com" in text(made)
    assert "password" not in text(made)
    assert not Identity.objects.get(username="zoe").has_usable_password()
    provider.person["email"] = "zoe@example.com"
    assert sign_in(client, provider).status_code == 302


# --- The link on pages -------------------------------------------------------------------------------------------


def test_one_sees_on_ones_account_as_whom_one_is_linked(client, provider):
    sign_in(client, provider)
    assert f"{provider.url} as alice@example.com (00u1)" in text(client.get("/account/"))


def test_an_administrator_unlinks_somebody_who_is_signed_out_everywhere(browser, client, provider, world):
    sign_in(client, provider)
    password, bob, admin = browser("alice"), browser("bob"), browser("admin")
    page = admin.get("/people/alice/")
    assert "00u1" in text(page)
    assert "/people/alice/unlink/" in page.content.decode()
    assert "/people/bob/unlink/" not in admin.get("/people/bob/").content.decode()
    assert bob.post("/people/alice/unlink/").status_code == 404
    assert client.post("/people/alice/unlink/").status_code == 404
    assert client.get("/").status_code == 200
    assert admin.post("/people/alice/unlink/")["Location"] == "/people/alice/"
    assert not ProviderLink.objects.exists()
    assert (nobody(client), nobody(password), nobody(bob), nobody(admin)) == (True, True, False, False)
    entry = last("identity.unlinked", "alice")
    assert (entry.actor, entry.data["subject"]) == ("admin", "00u1")
    assert admin.post("/people/alice/unlink/").status_code == 404
    # Another account of the provider with the address may be them from now on.
    provider.person["sub"] = "00u2"
    sign_in(client, provider)
    assert ProviderLink.objects.get().subject == "00u2"


def test_what_the_provider_publishes_is_asked_for_once(client, provider):
    sign_in(client, provider)
    assert provider.asked.count("/keys") == 1
    sign_in(Client(), provider)
    assert provider.asked.count("/keys") == 1
    assert provider.asked.count("/.well-known/openid-configuration") == 1
