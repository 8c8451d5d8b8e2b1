"""DPoP: a token that is bound to a key is good with a fresh proof of that key for this request, once."""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import time

import pytest
from joserfc import jws
from joserfc.jwk import ECKey, OctKey, OKPKey, RSAKey

from sessions_app.gateways.core.proofs import ProofRefused, check_proof
from sessions_app.models import CommandRun
from tests.support.api_site import token_of

URL = "http://api.example.com/tickets/T-42"


@pytest.fixture(scope="module")
def key():
    return ECKey.generate_key("P-256")


def ath(token):
    return base64.urlsafe_b64encode(hashlib.sha256(token.encode()).digest()).rstrip(b"=").decode()


def proof(key, token, *, header=None, now=None, sign_with=None, **claims):
    said = {
        "jti": secrets.token_hex(8),
        "htm": "GET",
        "htu": URL,
        "iat": int(now or time.time()),
        "ath": ath(token),
        **claims,
    }
    head = {"typ": "dpop+jwt", "alg": "ES256", "jwk": key.as_dict(private=False), **(header or {})}
    payload = json.dumps({name: value for name, value in said.items() if value is not None})
    return jws.serialize_compact(head, payload, sign_with or key, algorithms=[head["alg"]])


def refusal(made, key, token, *, url=URL, method="GET", now):
    try:
        check_proof(proof=made, token=token, jkt=key.thumbprint(), method=method, url=url, now=now)
    except ProofRefused as error:
        return str(error)
    return ""


@pytest.fixture
def moment(world):
    return world.now


def test_a_fresh_proof_is_good_once(key, moment, db):
    made = proof(key, "t", now=moment.timestamp())
    assert refusal(made, key, "t", now=moment) == ""
    assert "already used" in refusal(made, key, "t", now=moment)


def test_an_ed25519_key_is_good_too(moment, db):
    key = OKPKey.generate_key("Ed25519")
    made = proof(key, "t", now=moment.timestamp(), header={"alg": "Ed25519"})
    assert refusal(made, key, "t", now=moment) == ""


def test_the_address_may_be_spelled_as_urls_may(key, moment, db):
    for url in ("HTTP://API.example.com/tickets/T-42", "http://api.example.com:80/tickets/T-42"):
        assert refusal(proof(key, "t", now=moment.timestamp(), htu=url), key, "t", now=moment) == ""


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"htm": "POST"}, "htm mismatch"), ({"htm": None}, "htm mismatch"), ({"htu": URL + "x"}, "htu mismatch"), ({"htu": URL + "?a=1"}, "htu mismatch"),
        ({"htu": URL + "#a"}, "htu mismatch"), ({"htu": "http://api.example.com@evil/tickets/T-42"}, "htu mismatch"), ({"htu": None}, "htu mismatch"),
        ({"htu": "https://api.example.com/tickets/T-42"}, "htu mismatch"), ({"htu": 5}, "htu mismatch"), ({"htu": "http://["}, "htu mismatch"),
        ({"ath": ath("other")}, "ath mismatch"), ({"ath": None}, "ath mismatch"), ({"jti": None}, "jti"), ({"jti": 5}, "jti"), ({"jti": ""}, "jti"),
        ({"jti": "x" * 300}, "jti"), ({"iat": None}, "no iat"), ({"iat": "1"}, "no iat"), ({"iat": True}, "no iat"),
        ({"iat": 1}, "too old"), ({"iat": 99999999999}, "future"),
    ],
)  # fmt: skip
def test_a_proof_of_something_else_is_refused(key, moment, db, changes, says):
    made = proof(key, "t", now=moment.timestamp(), **changes)
    assert says in refusal(made, key, "t", now=moment)


def test_a_proof_of_another_key_or_none_is_refused(key, moment, db):
    other, at = ECKey.generate_key("P-256"), moment.timestamp()
    assert "does not match the token" in refusal(proof(other, "t", now=at), key, "t", now=moment)
    forged = proof(key, "t", now=at, sign_with=other)
    assert "verified" in refusal(forged, key, "t", now=moment)
    good = proof(key, "t", now=at)
    for broken in (
        "",
        "x",
        "a.b.c",
        good[:-4] + "AAAA",
        good + "," + good,
        good.rpartition(".")[0] + ".",
        "x" * 9000,
        "é.é.é",
    ):
        assert refusal(broken, key, "t", now=moment)


def test_keys_and_algorithms_that_prove_nothing_are_refused(key, moment, db):
    at = moment.timestamp()
    private = {"jwk": key.as_dict(private=True)}
    assert "public key" in refusal(proof(key, "t", now=at, header=private), key, "t", now=moment)
    assert "typ" in refusal(proof(key, "t", now=at, header={"typ": "JWT"}), key, "t", now=moment)
    oct_key = OctKey.generate_key(256)
    shared = jws.serialize_compact(
        {"typ": "dpop+jwt", "alg": "HS256", "jwk": oct_key.as_dict()}, "{}", oct_key, algorithms=["HS256"]
    )
    assert "typ" in refusal(shared, key, "t", now=moment)
    rsa = RSAKey.generate_key(2048)
    signed = jws.serialize_compact(
        {"typ": "dpop+jwt", "alg": "RS256", "jwk": rsa.as_dict(private=False)},
        "{}",
        rsa,
        algorithms=["RS256"],
    )
    assert refusal(signed, key, "t", now=moment)
    none = base64.urlsafe_b64encode(
        json.dumps({"typ": "dpop+jwt", "alg": "none", "jwk": key.as_dict(private=False)}).encode()
    )
    assert refusal(none.rstrip(b"=").decode() + ".e30.", key, "t", now=moment)


def test_a_bound_token_passes_with_its_proof_alone(door, grant, site, key):
    token = token_of(grant, site, jkt=key.thumbprint())
    origin = {"HTTP_STINTORIGIN": "http://api.example.com"}
    bound = {**origin, "HTTP_AUTHORIZATION": f"DPoP {token}"}
    assert door.nginx(token, **bound, HTTP_DPOP=proof(key, token)).status == 200
    plain = door.nginx(token, **origin, HTTP_DPOP=proof(key, token))
    assert plain.status == 401
    assert plain.headers["www-authenticate"] == 'DPoP error="invalid_dpop_proof", algs="ES256 Ed25519"'
    assert door.nginx(token, **bound).status == 401
    assert door.nginx(token, **{**bound, "HTTP_STINTORIGIN": ""}, HTTP_DPOP=proof(key, token)).status == 401
    assert CommandRun.objects.filter(grant=grant, state="refused").count() == 3


def test_a_token_that_is_not_bound_is_no_dpop_token(door, token, key):
    assert door.nginx(token, HTTP_AUTHORIZATION=f"DPoP {token}", HTTP_DPOP=proof(key, token)).status == 401
