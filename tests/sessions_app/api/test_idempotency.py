"""One POST, one act."""

import datetime as dt
import threading

import pytest
from django.urls import get_resolver

from accounts.operations.create_token import create_token
from broker.kernel import clock
from sessions_app.api.endpoint import Endpoint
from sessions_app.models import AccessRequest, Grant, IdempotencyKey, Sweeper
from sessions_app.operations.grants.prepare_grant import prepare_grant
from sessions_app.operations.workflows.read_workflow import read_workflow
from tests.sessions_app.api.conftest import Caller, token_for
from tests.sessions_app.api.test_me import TOKEN
from tests.support.waits import eventually, happens
from tests.support.world.acts import Started, events, fresh, wait_for_waiters
from tests.support.world.sources import SOURCE, is_closed, is_open, speaking_for

ASK = {
    "cluster": "web",
    "command_set": "restart-web",
    "duration": 3600,
    "reason": "x",
    "parameters": {"unit": "nginx"},
}
KEY = {"Idempotency-Key": "9c1f-7"}


def test_a_repeat_gets_the_first_answer_and_does_nothing(api):
    first = api("alice").post("/requests", ASK, **KEY)
    again = api("alice").post("/requests", {**dict(reversed(ASK.items()))}, **KEY)
    assert (first.status_code, again.status_code) == (201, 201)
    assert (again.content, again["Location"]) == (first.content, first["Location"])
    assert (first.get("Idempotent-Replayed"), again["Idempotent-Replayed"]) == (None, "true")
    assert AccessRequest.objects.count() == 1
    assert events(first.body["ref"]) == ["request.created"]


def test_the_key_of_another_request_is_refused(api):
    asked = api("alice").post("/requests", ASK, **KEY).body
    for path, body in (
        ("/requests", {**ASK, "reason": "y"}),
        ("/requests/preview", ASK),
        (f"/requests/{asked['ref']}/withdraw", {}),
    ):
        refused = api("alice").post(path, body, **KEY)
        assert (refused.status_code, refused.body["code"]) == (422, "idempotency_key_reused")
    assert AccessRequest.objects.get().state == "pending"


def test_each_identity_has_keys_of_its_own(api):
    api("alice").post("/requests", ASK, **KEY)
    assert api("robot").post("/requests", ASK, **KEY).status_code == 201
    assert AccessRequest.objects.count() == 2


def test_an_error_is_not_kept_so_that_the_same_key_can_be_tried_again(api, world):
    Sweeper.objects.update(seen_at=world.now - dt.timedelta(hours=1))
    assert api("alice").post("/requests", ASK, **KEY).status_code == 422
    assert not IdempotencyKey.objects.exists()
    Sweeper.objects.update(seen_at=clock.now())
    assert api("alice").post("/requests", ASK, **KEY).status_code == 201


def test_what_a_refused_act_found_out_on_its_way_is_kept_as_without_a_key(api, world):
    with speaking_for() as pager:
        pager.workflows["Q1"] = is_open()
        world.apply({"workflow-sources/pager.yaml": SOURCE})
        grant = world.respond(read_workflow(ref="pager:Q1", now=world.now))
        pager.workflows["Q1"] = is_closed()
        refused = api("alice").post(f"/grants/{grant.ref}/extend", {"duration": "5m"}, **KEY)
    assert (refused.status_code, refused.body["code"]) == (409, "grant_is_over")
    assert (fresh(grant).state, grant.end_reason) == ("revoking", "workflow_closed")
    assert not IdempotencyKey.objects.exists()


def test_a_run_never_gets_the_answer_of_another_run_of_its_pipeline(world):
    answers = []
    for run in ("github:1:1:1:1", "github:1:2:1:1"):
        _, text = create_token(
            identity_id=world.deployer.pk,
            label="run",
            scopes=["read", "request"],
            lifetime=dt.timedelta(minutes=5),
            actor=world.alice,
            now=world.now,
            workflow=run,
        )
        answers.append(Caller(world.deployer, text).post("/requests/offers", {}, **KEY))
    assert [answer.status_code for answer in answers] == [200, 422]
    assert answers[1].body["code"] == "idempotency_key_reused"


def test_a_secret_that_is_shown_once_is_neither_kept_nor_shown_again(api):
    made = api("alice").post("/me/tokens", TOKEN, **KEY)
    again = api("alice").post("/me/tokens", TOKEN, **KEY)
    assert (again.status_code, again.body["code"]) == (409, "shown_once")
    assert made.body["token"] not in again.content.decode()
    assert IdempotencyKey.objects.get().body == {"shown_once": True}
    assert (
        len([event for event in events("alice") if event == "identity.token_created"]) == 2
    )  # the caller's own is one


@pytest.mark.parametrize("key", ["", " ", "a b", "x" * 201, "schlüssel"], ids=lambda key: key[:9])
def test_a_key_is_some_visible_text(api, key):
    assert api("alice").post("/requests", ASK, **{"Idempotency-Key": key}).status_code == 400
    assert not AccessRequest.objects.exists()


def test_answers_are_kept_for_a_day(api):
    api("alice").post("/requests", ASK, **KEY)
    IdempotencyKey.objects.update(created_at=clock.now() - dt.timedelta(hours=25))
    assert api("alice").post("/requests", {**ASK, "reason": "y"}, **KEY).status_code == 201
    assert IdempotencyKey.objects.count() == 1


def test_while_the_first_is_worked_on_a_second_is_told_so_at_once(live_world, owner_connection):
    caller = Caller(live_world.alice, token_for(live_world.alice, live_world.now))
    owner_connection.autocommit = False
    # The record stands still, so the first request hangs in the middle of its act.
    owner_connection.execute("SELECT * FROM audit_head FOR UPDATE")
    first = Started(lambda: caller.post("/requests", ASK, **KEY))
    try:
        wait_for_waiters(owner_connection, 1)
        second = Started(lambda: caller.post("/requests", ASK, **KEY)).result()
        assert (second.status_code, second.body["code"]) == (409, "idempotency_key_in_use")
    finally:
        owner_connection.rollback()
    assert first.result().status_code == 201
    assert caller.post("/requests", ASK, **KEY)["Idempotent-Replayed"] == "true"
    assert AccessRequest.objects.count() == 1


def test_the_act_and_its_kept_answer_are_one_transaction(live_world, app_connection):
    # Whatever stops the answer from being kept undoes the act.
    token = token_for(live_world.alice, live_world.now)
    from unittest.mock import patch

    caller = Caller(live_world.alice, token)
    with patch.object(IdempotencyKey.objects, "create", side_effect=RuntimeError("the disk is full")):
        assert caller.post("/requests", ASK, **KEY).status_code == 500
    assert not AccessRequest.objects.exists()
    assert not Grant.objects.exists()


# What asks a target


def credential(caller, grant):
    return caller.post(f"/grants/{grant.ref}/credential", {"target": "web-1"}, **KEY)


def prepared(world):
    return prepare_grant(grant_id=world.grant().pk, now=lambda: world.now)


def test_while_a_target_is_asked_nothing_of_the_record_is_held(live_world, making, owner_connection):
    grant = prepared(live_world)
    caller = Caller(live_world.alice, token_for(live_world.alice, live_world.now))
    answers, calls = threading.Event(), making.calls
    making.after = lambda: happens(answers)
    first = Started(lambda: credential(caller, grant))
    try:
        eventually(lambda: "issue web-1" in calls)
        owner_connection.execute("SELECT FROM audit_head FOR UPDATE NOWAIT")
        assert "credential.issued" in events(grant.ref)
        second = credential(caller, grant)
        assert (second.status_code, second.body["code"]) == (409, "idempotency_key_in_use")
    finally:
        answers.set()
    assert first.result().status_code == 200
    assert credential(caller, grant).body["code"] == "shown_once"
    assert calls.count("issue web-1") == 1


def test_a_credential_is_not_issued_again_if_the_process_ended_while_its_target_was_asked(api, world, making):
    grant = prepared(world)
    making.after = lambda: (_ for _ in ()).throw(SystemExit)
    with pytest.raises(SystemExit):
        credential(api("alice"), grant)
    making.after = lambda: None
    assert credential(api("alice"), grant).body["code"] == "idempotency_key_in_use"
    IdempotencyKey.objects.update(created_at=clock.now() - dt.timedelta(minutes=1))
    assert credential(api("alice"), grant).body["code"] == "shown_once"
    assert making.calls.count("issue web-1") == 1


def test_a_target_that_does_not_answer_can_be_asked_again_with_the_same_key(api, world, making):
    grant = prepared(world)
    making.down = {"web-1"}
    assert credential(api("alice"), grant).status_code == 503
    making.down = set()
    assert credential(api("alice"), grant).status_code == 200


def test_every_post_takes_a_key():
    def endpoints(patterns):
        for pattern in patterns:
            if hasattr(pattern, "url_patterns"):
                yield from endpoints(pattern.url_patterns)
            elif issubclass(view := getattr(pattern.callback, "cls", object), Endpoint):
                yield view

    posts = {view for view in endpoints(get_resolver().url_patterns) if hasattr(view, "post")}
    assert len(posts) > 20
    assert {view.__name__ for view in posts if not hasattr(view.post, "__wrapped__")} == set()
