"""/identities"""

import pytest

from accounts.models import Identity
from sessions_app.models import Grant
from tests.sessions_app.api.conftest import Caller, is_not_there
from tests.sessions_app.api.test_me import TOKEN, public_key

AGENT = {"username": "night-robot", "kind": "agent", "name": "Night robot", "owner": "bob"}
PERSON = {
    "username": "erin",
    "kind": "person",
    "name": "Erin",
    "email": "erin@example.com",
    "password": "tr0ub4dor-and-3",
}


def names(caller, query: str = "") -> list[str]:
    answer = caller.get(f"/identities{query}")
    assert answer.status_code == 200, answer.body
    return [row["username"] for row in answer.body["results"]]


def test_administrators_see_everybody_and_others_themselves_and_their_machines(api):
    assert names(api("admin")) == ["admin", "alice", "bob", "charlie", "deployer", "dora", "robot"]
    assert names(api("alice")) == ["alice", "deployer", "robot"]
    assert names(api("bob")) == ["bob"]
    assert names(api("robot")) == ["robot"]
    assert names(api("admin"), "?kind=agent") == ["robot"]
    assert names(api("admin"), "?enabled=false") == []


def test_a_token_gives_nobody_a_password_and_makes_no_administrator(api):
    for more in ({}, {"password": None, "administrator": True}):
        refused = api("admin").post("/identities", {**PERSON, **more})
        assert (refused.status_code, refused.body["code"]) == (403, "sign_in_needed")
    assert not Identity.objects.filter(username=PERSON["username"]).exists()


def test_an_administrator_makes_people_and_machines(api, signed_in):
    made = api("admin").post("/identities", AGENT)
    assert made.status_code == 201, made.body
    assert made["Location"] == "/api/v1/identities/night-robot"
    assert (made.body["owner"], made.body["kind"], made.body["administrator"]) == ("bob", "agent", False)
    person = signed_in("admin").post("/identities", {**PERSON, "groups": ["operators"]})
    assert (person.status_code, person.body["groups"]) == (201, ["operators"])
    assert Identity.objects.get(username="erin").check_password(PERSON["password"])
    assert PERSON["password"] not in person.content.decode()


@pytest.mark.parametrize(
    "changes",
    [
        {"owner": None},
        {"owner": "nobody"},
        {"owner": "robot"},
        {"password": "tr0ub4dor-and-3"},
        {"administrator": True},
        {"is_superuser": True},
        {"time_zone": "Mars/Olympus"},
        {"username": "Ro bot"},
        {"kind": "person"},
        {"email": "not-an-address"},
        {"groups": ["No Group"]},
    ],
    ids=str,
)
def test_what_does_not_fit_together_is_refused(api, changes):
    assert api("admin").post("/identities", {**AGENT, **changes}).status_code == 400
    assert not Identity.objects.filter(username="night-robot").exists()


def test_a_password_that_is_guessed_is_refused(api):
    refused = api("admin").post("/identities", {**PERSON, "password": "password123"})
    assert (refused.status_code, list(refused.body["fields"])) == (400, ["password"])
    assert "password123" not in refused.content.decode()


def test_a_disabled_identity_is_out_at_once_and_its_grants_end(api, world):
    grant = world.grant()
    assert (api("alice").get("/me").status_code, api("robot").get("/me").status_code) == (200, 200)
    answer = api("admin").post("/identities/alice/disable")
    assert (answer.status_code, answer.body["enabled"]) == (200, False)
    assert (api("alice").get("/me").status_code, api("robot").get("/me").status_code) == (401, 401)
    assert Grant.objects.get(pk=grant.pk).end_reason == "identity_disabled"
    assert names(api("admin"), "?enabled=false") == ["alice"]
    assert api("admin").post("/identities/alice/enable").body["enabled"] is True
    assert api("alice").get("/me").status_code == 401, "her token stays revoked"
    assert api("robot").get("/me").status_code == 200
    assert Grant.objects.get(pk=grant.pk).state == "revoking"


def test_the_owner_makes_tokens_and_keys_of_a_machine_and_it_takes_them_back(api, signed_in, world):
    made = api("alice").post("/identities/robot/tokens", TOKEN)
    assert made.status_code == 201, made.body
    assert Caller(world.robot, made.body["token"]).get("/me").body["username"] == "robot"
    key = signed_in("alice").post("/identities/robot/ssh-keys", {"public_key": public_key()}).body["id"]
    assert [row["id"] for row in api("alice").get("/identities/robot/ssh-keys").body["results"]] == [key]
    # A key of one machine is not found at another.
    assert api("alice").delete(f"/identities/deployer/ssh-keys/{key}").status_code == 404
    for place in (f"tokens/{made.body['id']}", f"ssh-keys/{key}"):
        assert api("robot").delete(f"/identities/robot/{place}").status_code == 204


def test_nobody_else_does_administrators_neither_but_they_take_them_back(api, signed_in):
    for whose in ("bob", "robot"):
        assert api("admin").post(f"/identities/{whose}/tokens", TOKEN).status_code == 403
        refused = signed_in("admin").post(f"/identities/{whose}/ssh-keys", {"public_key": public_key()})
        assert refused.status_code == 403
    key = signed_in("bob").post("/me/ssh-keys", {"public_key": public_key()}).body["id"]
    assert [row["id"] for row in api("admin").get("/identities/bob/ssh-keys").body["results"]] == [key]
    assert api("admin").delete(f"/identities/bob/ssh-keys/{key}").status_code == 204
    for path in ("tokens", "ssh-keys"):
        is_not_there(api("charlie"), "POST", f"/identities/robot/{path}", f"/identities/nobody/{path}", TOKEN)
