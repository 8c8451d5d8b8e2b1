"""/me"""

import datetime as dt
import hashlib

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from accounts.models import APIToken, SSHPublicKey
from sessions_app.models import IdempotencyKey
from sessions_app.policy.digests import canonical
from tests.sessions_app.api.conftest import Caller, is_not_there, token_for
from tests.support.world.acts import events, fresh, last
from tests.support.world.factors import just_signed_in
from tests.support.world.world import PASSWORD

TOKEN = {"label": "nightly", "scopes": ["read", "request"], "lifetime": "30d"}


def public_key() -> str:
    key = Ed25519PrivateKey.generate().public_key()
    return key.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode() + " me@laptop"


@pytest.mark.parametrize(("who", "kind", "owner"), [("alice", "person", None), ("robot", "agent", "alice")])
def test_one_learns_who_one_is_and_what_the_token_may_do(api, who, kind, owner):
    me = api(who, "read").get("/me").body
    assert (me["username"], me["kind"], me["owner"], me["scopes"]) == (who, kind, owner, ["read"])
    assert me["groups"] == ["on-call", "operators"] if who == "alice" else ["operators"]
    assert "password" not in me


# Keys


def test_a_key_is_registered_listed_and_taken_back_and_is_nobody_elses(api, signed_in):
    made = signed_in("alice").post("/me/ssh-keys", {"public_key": public_key()})
    assert made.status_code == 201, made.body
    assert made.body["label"] == "me@laptop"
    place = f"/me/ssh-keys/{made.body['id']}"
    for who in ("bob", "robot", "admin"):
        is_not_there(api(who), "DELETE", place, "/me/ssh-keys/999999")
        assert api(who).get("/me/ssh-keys").body["results"] == []
    assert [key["id"] for key in api("alice").get("/me/ssh-keys").body["results"]] == [made.body["id"]]
    gone = api("alice").delete(place)
    assert (gone.status_code, gone.content) == (204, b"")
    assert api("alice").get("/me/ssh-keys").body["results"] == []


def test_a_token_adds_no_key_which_would_outlive_it(api):
    for who, path in (("alice", "/me"), ("alice", "/identities/robot"), ("robot", "/me")):
        refused = api(who).post(f"{path}/ssh-keys", {"public_key": public_key()})
        assert (refused.status_code, refused.body["code"]) == (403, "sign_in_needed")
    assert not SSHPublicKey.objects.exists()


# Tokens


def test_a_token_is_shown_once_works_and_is_refused_after_it_was_revoked(api, world):
    made = api("alice").post("/me/tokens", TOKEN)
    assert made.status_code == 201, made.body
    caller, place = Caller(world.alice, made.body["token"]), f"/me/tokens/{made.body['id']}"
    assert caller.get("/me").body["scopes"] == ["read", "request"]
    listed = api("alice").get("/me/tokens")
    assert made.body["id"] in [token["id"] for token in listed.body["results"]]
    assert made.body["token"] not in listed.content.decode()
    is_not_there(api("bob"), "DELETE", place, "/me/tokens/999999")
    assert api("alice").delete(place).status_code == 204
    assert caller.get("/me").status_code == 401


def test_a_token_makes_none_that_may_do_more_than_itself(api):
    narrow = api("alice", "administer", "read")
    refused = narrow.post("/me/tokens", {**TOKEN, "scopes": ["read", "decide"]})
    assert (refused.status_code, refused.body["code"]) == (403, "scope_missing")
    assert narrow.post("/me/tokens", {**TOKEN, "scopes": ["read"]}).status_code == 201


def test_a_token_makes_none_that_outlives_it(world, now):
    short = Caller(
        world.alice, token=token_for(world.alice, now, "administer", "read", lifetime=dt.timedelta(hours=2))
    )
    sent = {**TOKEN, "scopes": ["read"]}
    refused = short.post("/me/tokens", {**sent, "lifetime": "3h"})
    assert (refused.status_code, refused.body["code"]) == (403, "scope_missing")
    assert "expires later than itself" in refused.body["detail"] + refused.body["title"]
    made = short.post("/me/tokens", {**sent, "lifetime": "1h"})
    assert made.status_code == 201
    assert short.delete(f"/me/tokens/{APIToken.objects.earliest('pk').pk}").status_code == 204
    assert Caller(world.alice, token=made.body["token"]).get("/me").status_code == 401


def test_a_browser_session_makes_any_token(world):
    caller = Caller(world.alice)
    just_signed_in(caller.client, world.alice)
    assert caller.get("/me").body["scopes"] is None
    assert caller.post("/me/tokens", {**TOKEN, "scopes": ["read", "decide", "end"]}).status_code == 201


@pytest.mark.parametrize(
    "changes",
    [
        {"scopes": []},
        {"scopes": ["everything"]},
        {"scopes": "read"},
        {"lifetime": "91d"},
        {"lifetime": 0},
        {"label": " "},
        {"expires_at": "2100-01-01T00:00:00Z"},
        {"identity": "bob"},
    ],
    ids=str,
)
def test_a_token_has_some_scopes_a_label_and_an_end(api, changes):
    caller = api("alice")
    before = APIToken.objects.count()
    assert caller.post("/me/tokens", {**TOKEN, **changes}).status_code == 400
    assert APIToken.objects.count() == before


# Time zone and password


def test_one_chooses_ones_time_zone(api, world):
    answer = api("alice").post("/me/time-zone", {"time_zone": "Asia/Tokyo"})
    assert (answer.status_code, answer.body["time_zone"]) == (200, "Asia/Tokyo")
    assert fresh(world.alice).time_zone == "Asia/Tokyo"
    assert api("alice").post("/me/time-zone", {"time_zone": "Mars/Base"}).status_code == 400
    assert api("alice", "read", "request").post("/me/time-zone", {"time_zone": "UTC"}).status_code == 403


NEW_PASSWORD = {"current": PASSWORD, "new": "another horse, another battery"}


def in_a_browser(identity) -> Caller:
    caller = Caller(identity)
    caller.client.force_login(identity, backend="accounts.backends.PasswordBackend")
    return caller


def test_a_new_password_keeps_the_session_that_set_it_and_ends_the_others(world):
    here, there = in_a_browser(world.alice), in_a_browser(world.alice)
    assert here.post("/me/password", NEW_PASSWORD).status_code == 200
    assert here.get("/me").status_code == 200
    assert there.get("/me").status_code == 401
    assert fresh(world.alice).check_password(NEW_PASSWORD["new"])
    assert last("identity.password_changed", "alice").actor == "alice"


def test_a_token_needs_the_current_password_too_and_five_guesses_are_all_there_are(api, world):
    for number in range(5):
        # A key takes back what a failure did, and the count must stay.
        wrong = {**NEW_PASSWORD, "current": "a guess"}
        refused = api("alice").post("/me/password", wrong, **{"Idempotency-Key": f"k{number}"})
        assert (refused.status_code, refused.body["code"]) == (400, "wrong_password")
    enough = api("alice").post("/me/password", NEW_PASSWORD)
    assert (enough.status_code, enough.body["code"]) == (429, "too_many_tries")
    assert 50 < int(enough["Retry-After"]) <= 60
    assert api("bob", "read", "decide").post("/me/password", NEW_PASSWORD).status_code == 403
    assert api("robot").post("/me/password", NEW_PASSWORD).status_code == 400
    assert "identity.password_changed" not in events()


def test_a_password_is_in_no_answer_and_no_kept_one(api, world):
    answer = api("alice").post("/me/password", NEW_PASSWORD, **{"Idempotency-Key": "k1"})
    again = api("alice").post("/me/password", NEW_PASSWORD, **{"Idempotency-Key": "k1"})
    assert (answer.status_code, again.status_code, again["Idempotent-Replayed"]) == (200, 200, "true")
    (kept,) = IdempotencyKey.objects.all()
    plain = hashlib.sha256(f"POST /api/v1/me/password {canonical(NEW_PASSWORD)}".encode()).hexdigest()
    assert kept.fingerprint != plain, "a password could be guessed from it"
    assert NEW_PASSWORD["new"] not in f"{kept.body} {answer.content}"


# Notices


def test_notices_are_listed_and_marked_as_read_by_their_reader_alone(api, world):
    world.request()
    (notice,) = api("bob").get("/me/notices?unread=true").body["results"]
    assert (notice["event"], notice["read_at"]) == ("request.created", None)
    assert api("alice").get("/me/notices").body["results"] == []
    place = f"/me/notices/{notice['id']}/read"
    is_not_there(api("dora"), "POST", place, "/me/notices/999999/read")
    read = api("bob").post(place).body["read_at"]
    assert api("bob").post(place).body["read_at"] == read is not None
    assert api("bob").get("/me/notices?unread=true").body["results"] == []
    assert len(api("bob").get("/me/notices").body["results"]) == 1
