"""The keys of issuers are kept, fetched again with a limit, and nobody else's."""

import contextlib
import threading
import warnings

import pytest
from joserfc import jwk

from sessions_app.issuers.fetch import CannotFetch
from sessions_app.issuers.keys import AGAIN, KEPT, read_keys
from tests.support.servers.issuer import issuer_on_loopback, rsa_key
from tests.support.waits import PATIENCE, ends, eventually
from tests.support.world.acts import at_once


def short_key() -> jwk.RSAKey:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return jwk.RSAKey.generate_key(1024)


PLACE = "/.well-known/openid-configuration"


def test_keys_are_fetched_once_and_kept_for_a_while(issuer, document, keyring, clock):
    assert keyring.find(document(), "key-1").kid == "key-1"
    clock.at += KEPT - 1
    assert keyring.find(document(), "key-1")
    assert issuer.asked == [PLACE, "/keys"]
    clock.at += 1
    assert keyring.find(document(), "key-1")
    assert len(issuer.asked) == 4


def test_a_key_that_is_not_known_is_looked_for_but_not_for_each_token(issuer, document, keyring, clock):
    assert keyring.find(document(), "key-1")
    issuer.keys.append(rsa_key("key-2"))
    for _ in range(5):
        assert keyring.find(document(), "key-2") is None
    assert len(issuer.asked) == 2
    clock.at += AGAIN
    assert keyring.find(document(), "key-2").kid == "key-2"
    assert len(issuer.asked) == 4


def test_a_key_that_was_taken_back_is_worth_nothing_after_a_while(issuer, document, keyring, clock):
    assert keyring.find(document(), "key-1")
    issuer.keys[:] = [rsa_key("key-2")]
    clock.at += KEPT
    assert keyring.find(document(), "key-1") is None


def test_an_issuer_that_did_not_answer_is_not_asked_again_for_each_token(issuer, document, keyring, clock):
    issuer.answers[PLACE] = (503, {}, b"{}")
    for _ in range(3):
        with pytest.raises(CannotFetch):
            keyring.find(document(), "key-1")
    assert issuer.asked == [PLACE]
    del issuer.answers[PLACE]
    clock.at += AGAIN
    assert keyring.find(document(), "key-1")


@pytest.fixture
def asking(issuer, document, keyring, monkeypatch):
    """Somebody who waits for an answer of the issuer, for longer than any of these tests takes."""
    monkeypatch.setattr("sessions_app.issuers.fetch.TOTAL_SECONDS", 2 * PATIENCE)
    started = []

    def ask() -> None:
        with contextlib.suppress(CannotFetch):
            keyring.find(document(), "key-2")

    def start() -> threading.Thread:
        issuer.awake.clear()
        before = len(issuer.asked)
        thread = threading.Thread(target=ask)
        thread.start()
        started.append(thread)
        eventually(lambda: len(issuer.asked) > before)
        return thread

    yield start
    issuer.awake.set()
    for thread in started:
        ends(thread)


def test_an_issuer_that_hangs_holds_up_no_token_of_another(asking, document, keyring):
    waiting = asking()
    with issuer_on_loopback() as other:
        assert keyring.find(document(issuer=other.url), "key-1")
    assert waiting.is_alive()


def test_while_it_is_asked_what_is_known_of_an_issuer_counts_and_nobody_waits_for_long(
    asking, document, keyring, clock
):
    assert keyring.find(document(), "key-1")
    clock.at += AGAIN
    waiting = asking()
    assert keyring.find(document(), "key-2") is None
    assert keyring.find(document(), "key-1")
    clock.at += KEPT
    with pytest.raises(CannotFetch):
        keyring.find(document(), "key-1")
    assert waiting.is_alive()


def test_tokens_that_come_together_have_an_issuer_asked_once(issuer, document, keyring, monkeypatch):
    monkeypatch.setattr("sessions_app.issuers.keys.PATIENCE", PATIENCE)
    found = at_once(*[lambda: keyring.find(document(), "key-1")] * 4)
    assert [key.kid for key in found] == ["key-1"] * 4
    assert len(issuer.asked) == 2


@pytest.mark.parametrize(
    "told",
    [
        b'{"issuer": "https://else.example", "jwks_uri": "x"}',
        b'{"issuer": "ME"}',
        b'{"issuer": "ME", "jwks_uri": "http://127.0.0.2:1/keys"}',
        b'{"issuer": "ME/"}',
    ],
)
def test_an_issuer_that_calls_itself_or_its_keys_something_else_is_not_believed(
    issuer, document, keyring, told
):
    issuer.answers[PLACE] = (200, {}, told.replace(b"ME", issuer.url.encode()))
    with pytest.raises(CannotFetch):
        keyring.find(document(), "key-1")
    assert issuer.asked == [PLACE]


def test_keys_may_be_at_a_place_that_the_policy_names_or_stand_in_it(issuer, document, keyring):
    assert keyring.find(document(jwks_uri=f"{issuer.url}/keys"), "key-1")
    assert issuer.asked == ["/keys"]
    inline = document(keys=[rsa_key("inline").as_dict(private=False)])
    assert keyring.find(inline, "inline").kid == "inline"
    assert keyring.find(inline, "key-1") is None
    assert issuer.asked == ["/keys"]


def test_what_is_no_public_key_for_signing_is_passed_over():
    public = rsa_key().as_dict(private=False)
    odd = [
        {"kty": "oct", "k": "AAAA", "kid": "shared"},
        {**short_key().as_dict(private=False), "kid": "short"},
        {"kty": ["RSA"], "kid": "odd"},
        {**public, "kid": "enc", "use": "enc"},
        {**rsa_key().as_dict(private=True), "kid": "private"},
        {"kty": "PQC", "kid": "new"},
        {"kty": "RSA", "kid": "broken"},
        {name: value for name, value in public.items() if name != "kid"},
        "text",
    ]
    assert list(read_keys({"keys": [*odd, public]})) == ["key-1"]
    for found in ({}, {"keys": "x"}, {"keys": [public] * 51}):
        with pytest.raises(CannotFetch):
            read_keys(found)
