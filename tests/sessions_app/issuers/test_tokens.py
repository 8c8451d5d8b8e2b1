"""Tokens are verified with the issuer's own keys, and with nothing that they bring along."""

import base64
import contextlib
import datetime as dt
import hmac
import json

import pytest
from joserfc import jwk

from sessions_app.issuers.tokens import NoToken, read_unproven, signature


def unmet(token, document, keyring) -> list[str]:
    return [condition.name for condition in signature(token, document, keyring) if not condition.met]


@pytest.fixture
def claims(issuer):
    return issuer.github(dt.datetime.now(dt.UTC))


def b64(value) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


def test_a_token_that_the_issuer_signed_is_proven(issuer, document, keyring, claims):
    found = list(signature(issuer.sign(claims), document(), keyring))
    assert [(one.name, one.met) for one in found] == [("algorithm", True), ("key", True), ("signature", True)]
    assert read_unproven(issuer.sign(claims)).claims == claims


def test_alg_none_is_refused_before_any_key_is_looked_for(issuer, document, keyring, claims):
    for alg in ("none", "None", "NONE", ""):
        token = f"{b64({'alg': alg, 'kid': 'key-1'})}.{b64(claims)}."
        with contextlib.suppress(NoToken):
            assert unmet(token, document(), keyring) == ["algorithm"]
    assert issuer.asked == []


def test_a_public_key_is_no_shared_secret(issuer, document, keyring, claims):
    pem = issuer.keys[0].as_pem(private=False)
    signed = f"{b64({'alg': 'HS256', 'typ': 'JWT', 'kid': 'key-1'})}.{b64(claims)}"
    digest = hmac.digest(pem, signed.encode(), "sha256")
    token = f"{signed}.{base64.urlsafe_b64encode(digest).rstrip(b'=').decode()}"
    assert unmet(token, document(), keyring) == ["algorithm"]


def test_another_key_under_the_same_name_is_refused(issuer, document, keyring, claims):
    other = jwk.RSAKey.generate_key(2048, {"kid": "key-1"})
    assert unmet(issuer.sign(claims, key=other), document(), keyring) == ["signature"]


def test_a_key_that_the_token_brings_is_not_looked_at(issuer, document, keyring, claims):
    other = jwk.ECKey.generate_key("P-256", {"kid": "mine"})
    brought = {"jwk": other.as_dict(private=False), "jku": f"{issuer.url}/evil", "x5u": f"{issuer.url}/evil"}
    for name, value in brought.items():
        token = issuer.sign(claims, key=other, alg="ES256", **{name: value})
        assert unmet(token, document(algorithms=["ES256"]), keyring) == ["key"]
    assert "/evil" not in issuer.asked


@pytest.mark.parametrize(
    "kid", ["../../etc/passwd", "' OR 1=1 --", "key-1\0", "http://127.0.0.1/", "KEY-1", "k" * 201]
)
def test_a_kid_is_a_name_and_nothing_else(issuer, document, keyring, claims, kid):
    assert unmet(issuer.sign(claims, kid=kid), document(), keyring) in (["key"], ["algorithm"])
    assert set(issuer.asked) <= {"/.well-known/openid-configuration", "/keys"}


def test_a_header_that_asks_for_more_or_is_of_another_kind_is_refused(issuer, document, keyring, claims):
    for header in ({"typ": "at+jwt"}, {"typ": "DPOP+JWT"}, {"kid": None}):
        assert unmet(issuer.sign(claims, **header), document(), keyring) == ["algorithm"]


def test_an_algorithm_that_the_policy_does_not_list_is_refused(issuer, document, keyring, claims):
    assert unmet(issuer.sign(claims, alg="PS256"), document(), keyring) == ["algorithm"]
    assert unmet(issuer.sign(claims, alg="PS256"), document(algorithms=["PS256"]), keyring) == []


def test_a_changed_claim_breaks_the_signature(issuer, document, keyring, claims):
    head, _, tail = issuer.sign(claims).split(".")
    assert unmet(f"{head}.{b64({**claims, 'repository_id': '9002'})}.{tail}", document(), keyring) == [
        "signature"
    ]


@pytest.mark.parametrize(
    "token",
    ["", "a.b", "a.b.c", "a.b.c.d.e", "é.é.é", "." * 2, "x" * 20_000, "eyJhbGciOiJSUzI1NiJ9.W10.AA"],
)
def test_what_is_no_token_is_said_to_be_so(token):
    with pytest.raises(NoToken):
        read_unproven(token)


def test_a_claim_that_stands_twice_makes_no_token(issuer):
    with pytest.raises(NoToken):
        read_unproven(issuer.sign(b'{"repository_id": "1", "repository_id": "9001"}'))


def test_an_issuer_that_can_not_be_asked_proves_nothing(issuer, document, keyring, claims):
    issuer.answers["/keys"] = (500, {}, b"")
    assert unmet(issuer.sign(claims), document(), keyring) == ["key"]
