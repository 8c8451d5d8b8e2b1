"""DPoP: a token that is bound to a key is valid once with each fresh proof of that key for the request."""

import base64
import datetime as dt
import hashlib
import json
import secrets
import time

import pytest
from joserfc import jws
from joserfc.jwk import ECKey, OctKey, OKPKey

from broker.audit.attempts import append_attempts
from sessions_app.gateways.core.proofs import ProofRefused, check_proof
from sessions_app.models import CommandRun, ProofUsed, Session
from tests.support.world.acts import after, events, last
from tests.support.world.api_site import FILES, add_site, grant_on_site, token_of

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


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"htm": "POST"}, "htm mismatch"),
        ({"htm": None}, "htm mismatch"),
        ({"htu": URL + "x"}, "htu mismatch"),
        ({"htu": URL + "?a=1"}, "htu mismatch"),
        ({"htu": URL + "#a"}, "htu mismatch"),
        ({"htu": "http://api.example.com@evil/tickets/T-42"}, "htu mismatch"),
        ({"htu": None}, "htu mismatch"),
        ({"htu": "https://api.example.com/tickets/T-42"}, "htu mismatch"),
        ({"htu": 5}, "htu mismatch"),
        ({"htu": "http://["}, "htu mismatch"),
        ({"ath": ath("other")}, "ath mismatch"),
        ({"ath": None}, "ath mismatch"),
        ({"jti": None}, "jti"),
        ({"jti": 5}, "jti"),
        ({"jti": ""}, "jti"),
        ({"jti": "x" * 300}, "jti"),
        ({"iat": None}, "no iat"),
        ({"iat": "1"}, "no iat"),
        ({"iat": True}, "no iat"),
        ({"iat": 1}, "too old"),
        ({"iat": 99999999999}, "future"),
    ],
)
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


PUBLIC = "only a public key"


@pytest.mark.parametrize(
    ("alg", "make", "says"),
    [
        ("ES256", lambda key: key.as_dict(private=True), PUBLIC),
        ("ES256", lambda key: {"kty": "EC"}, "verified"),
        ("ES256", lambda _: OctKey.generate_key(256).as_dict(), PUBLIC),
        ("HS256", lambda key: key.as_dict(private=False), "typ"),
        ("RS256", lambda key: key.as_dict(private=False), "typ"),
        ("none", lambda key: key.as_dict(private=False), "typ"),
    ],
    ids=["private", "no key", "shared secret", "HS256", "RS256", "none"],
)
def test_keys_and_algorithms_that_prove_nothing_are_refused(key, moment, db, alg, make, says):
    signed = proof(key, "t", now=moment.timestamp(), header={"jwk": make(key)})
    head = {"typ": "dpop+jwt", "alg": alg, "jwk": make(key)}
    encoded = base64.urlsafe_b64encode(json.dumps(head).encode()).rstrip(b"=").decode()
    made = signed if alg == "ES256" else ".".join([encoded, *signed.split(".")[1:]])
    assert says in refusal(made, key, "t", now=moment)


@pytest.mark.parametrize("header", [{"typ": "JWT"}, {"typ": "DPOP+JWT"}, {"crit": ["b64"], "b64": True}])
def test_a_header_of_another_kind_is_refused(key, moment, db, header):
    made = proof(key, "t", now=moment.timestamp(), header=header)
    assert "typ dpop+jwt" in refusal(made, key, "t", now=moment)


@pytest.mark.parametrize(
    ("age", "good"), [(0, True), (60, True), (-5, True), (59.5, True), (60.5, False), (-5.5, False)]
)
def test_a_proof_is_good_for_a_minute_and_five_seconds_early(key, moment, db, age, good):
    said = refusal(proof(key, "t", iat=moment.timestamp() - age), key, "t", now=moment)
    assert said == "" if good else "iat" in said


def test_a_used_proof_is_remembered_until_it_is_too_old_on_every_clock(key, moment, db):
    made = proof(key, "t", iat=moment.timestamp() + 5, jti="once")
    assert refusal(made, key, "t", now=moment) == ""
    assert ProofUsed.objects.get().expires_at == moment + dt.timedelta(seconds=65)
    assert "already used" in refusal(made, key, "t", now=moment + dt.timedelta(seconds=64))


def test_a_name_used_by_another_key_is_free(moment, db):
    for key in (ECKey.generate_key("P-256"), ECKey.generate_key("P-256")):
        assert refusal(proof(key, "t", now=moment.timestamp(), jti="one"), key, "t", now=moment) == ""


@pytest.mark.parametrize(("length", "good"), [(1, True), (256, True), (257, False)])
def test_a_proof_has_a_name_of_at_most_256_characters(key, moment, db, length, good):
    said = refusal(proof(key, "t", now=moment.timestamp(), jti="x" * length), key, "t", now=moment)
    assert (said == "") is good


@pytest.mark.parametrize(("length", "good"), [(8192, True), (8193, False)])
def test_a_proof_has_at_most_8192_characters(key, moment, db, length, good):
    sizes = ((header, claim) for claim in range(5500, 6000) for header in range(3))
    head = {"kid": ""}
    for header, claim in sizes:
        head["kid"] = "x" * header
        made = proof(key, "t", now=moment.timestamp(), header=head, more="x" * claim)
        if len(made) == length:
            break
    assert len(made) == length
    said = refusal(made, key, "t", now=moment)
    assert said == "" if good else "exactly one DPoP header" in said


@pytest.mark.parametrize(
    ("url", "said", "good"),
    [
        (URL, "HTTP://API.example.com/tickets/T-42", True),
        (URL, "http://api.example.com:80/tickets/T-42", True),
        ("https://api.example.com", "https://API.example.com:443/", True),
        ("http://api.example.com/", "http://api.example.com", True),
        ("https://api.example.com:8443/a", "https://api.example.com:8443/a", True),
        ("https://api.example.com/", "https://api.example.com:80/", False),
        ("http://api.example.com/", "http://api.example.com:443/", False),
        ("http://api.example.com/a", "http://api.example.com/A", False),
        ("http://api.example.com/a", "http://api.example.com/a/", False),
        ("http://api.example.com/a", "http://user@api.example.com/a", False),
        ("http://api.example.com/", "http:///", False),
    ],
)
def test_an_address_may_be_spelled_as_urls_may_and_another_port_path_or_host_is_another(
    key, moment, db, url, said, good
):
    found = refusal(proof(key, "t", now=moment.timestamp(), htu=said), key, "t", url=url, now=moment)
    assert found == "" if good else "htu" in found


@pytest.mark.parametrize("payload", ["[]", '"text"', "null", "1", "{", ""])
def test_a_proof_whose_claims_are_no_object_is_refused(key, moment, db, payload):
    head = {"typ": "dpop+jwt", "alg": "ES256", "jwk": key.as_dict(private=False)}
    made = jws.serialize_compact(head, payload, key, algorithms=["ES256"])
    assert "proof" in refusal(made, key, "t", now=moment)


def test_a_proof_that_is_missing_says_so(key, moment, db):
    assert "needs a DPoP proof" in refusal("", key, "t", now=moment)
    good = proof(key, "t", now=moment.timestamp())
    assert "exactly one DPoP header" in refusal(f"{good},{good}", key, "t", now=moment)


def test_a_bound_token_passes_with_its_proof_alone(endpoint, grant, site, key):
    token = token_of(grant, site, jkt=key.thumbprint())
    origin = {"HTTP_STINTORIGIN": "http://api.example.com"}
    bound = {**origin, "HTTP_AUTHORIZATION": f"DPoP {token}"}
    assert endpoint.nginx(token, **bound, HTTP_DPOP=proof(key, token)).status == 200
    plain = endpoint.nginx(token, **origin, HTTP_DPOP=proof(key, token))
    assert plain.status == 401
    assert plain.headers["www-authenticate"] == 'DPoP error="invalid_dpop_proof", algs="ES256 Ed25519"'
    assert endpoint.nginx(token, **bound).status == 401
    assert (
        endpoint.nginx(token, **{**bound, "HTTP_STINTORIGIN": ""}, HTTP_DPOP=proof(key, token)).status == 401
    )
    entry = last("command.refused", grant.ref)
    assert (entry.data["code"], entry.data["line"]) == ("proof", "GET /tickets/T-42")
    assert "use the DPoP scheme" in entry.data["why"]
    append_attempts(after(site, minutes=2))
    assert last("command.refused", grant.ref).data["count"] == 3


def test_who_has_a_bound_token_without_its_key_can_not_end_or_hold_the_grant(endpoint, site, key):
    terms = FILES["policies/ticket-work.yaml"] + "deviations: {limit: 2, people: end}\n"
    add_site(site, {"policies/ticket-work.yaml": terms})
    grant = grant_on_site(site)
    token = token_of(grant, site, jkt=key.thumbprint())
    bound = {"HTTP_STINTORIGIN": "http://api.example.com", "HTTP_AUTHORIZATION": f"DPoP {token}"}
    for _ in range(3):
        assert endpoint.nginx(token).status == 401
        assert endpoint.nginx(token, "GET /elsewhere").status == 401
        assert endpoint.nginx(token, **bound, HTTP_DPOP="junk").status == 401
        assert endpoint.nginx(token, HTTP_X_HTTP_METHOD_OVERRIDE="DELETE").status == 401
    assert not CommandRun.objects.filter(grant=grant).exists()
    assert not Session.objects.filter(grant=grant).exists()
    assert events(grant.ref).count("command.refused") == 1
    assert endpoint.nginx(token, **bound, HTTP_DPOP=proof(key, token)).status == 200


def test_a_token_that_is_not_bound_is_no_dpop_token(endpoint, token, key):
    assert (
        endpoint.nginx(token, HTTP_AUTHORIZATION=f"DPoP {token}", HTTP_DPOP=proof(key, token)).status == 401
    )
