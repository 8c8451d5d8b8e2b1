"""/requests"""

import datetime as dt

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from broker.kernel import clock
from sessions_app.models import AccessRequest, Grant
from tests.sessions_app.api.conftest import Caller

ASK = {
    "cluster": "web",
    "command_set": "restart-web",
    "duration": "1h30m",
    "reason": "Nightly",
    "parameters": {"unit": "nginx"},
}


@pytest.fixture
def asked(api):
    return api("alice").post("/requests", ASK).body


def verdict(asked: dict, **changes) -> dict:
    return {"verdict": "approve", "digest": asked["digest"], **changes}


# Asking


def test_alice_asks_and_is_told_who_can_approve(api):
    answer = api("alice").post("/requests", ASK)
    assert answer.status_code == 201, answer.body
    asked = answer.body
    assert answer["Location"] == f"/api/v1/requests/{asked['ref']}"
    assert (asked["state"], asked["duration"], asked["requester"]) == ("pending", 5400, "alice")
    assert asked["needed"] == [
        {"count": 1, "groups": ["approvers"], "missing": 1, "approvers": ["bob", "dora"]}
    ]
    assert asked["targets"] == ["web-1", "web-2"]
    assert asked["commands"][0]["text"] == "echo restart nginx"
    assert asked["you"] == {"may_decide": False, "why_not": "You can't decide your own request."}
    assert asked["created_at"].endswith("Z")


def test_who_may_not_ask_is_told_the_same_as_for_what_is_not_there(api):
    refused = api("charlie").post("/requests", ASK)
    absent = api("charlie").post("/requests", {**ASK, "cluster": "zzz"})
    assert (refused.status_code, refused.content) == (404, absent.content.replace(b"zzz", b"web"))
    assert not AccessRequest.objects.exists()


def test_a_refusal_by_the_policy_says_each_rules_answer_and_the_fix(api):
    answer = api("alice").post("/requests", {**ASK, "duration": "5h", "reason": ""})
    assert (answer.status_code, answer.body["code"]) == (422, "request_refused")
    no = {rule["rule"]: rule for rule in answer.body["rules"] if not rule["permitted"]}
    assert set(no) == {"max_duration", "reason"}
    assert no["max_duration"]["offer"] == {"duration": 14400}
    assert not AccessRequest.objects.exists()


def test_a_dry_run_says_what_would_happen_and_changes_nothing(api):
    answer = api("alice").post("/requests/preview", ASK)
    assert answer.status_code == 200, answer.body
    told = answer.body
    assert (told["outcome"], told["policy"]) == ("needs_approval", "web-work")
    assert told["needed"] == [
        {"count": 1, "groups": ["approvers"], "missing": 1, "approvers": ["bob", "dora"]}
    ]
    assert all(rule["permitted"] and rule["message"] for rule in told["rules"])
    assert not AccessRequest.objects.exists()
    assert api("alice").post("/requests", ASK).body["digest"] == told["digest"]


@pytest.mark.parametrize(
    "kept",
    [
        {},
        {"narrowing": {"duration": "30m", "targets": ["web-2"]}},
        {"verdict": "deny", "comment": "Not now."},
    ],
)
def test_what_asking_and_deciding_answer_is_what_reading_it_answers(api, kept):
    asked = api("alice").post("/requests", ASK)
    assert asked.body == api("alice").get(f"/requests/{asked.body['ref']}").body
    decided = api("bob").post(f"/requests/{asked.body['ref']}/verdicts", verdict(asked.body, **kept))
    assert decided.status_code == 200, decided.body
    assert decided.body == api("bob").get(f"/requests/{asked.body['ref']}").body
    assert [one["approver"] for one in decided.body["approvals"]] == ["bob"]


def test_asking_and_approving_read_each_thing_about_once(api):
    alice, bob = api("alice"), api("bob")
    clock.sync()
    # The first time, what a process keeps is read as well.
    for _ in range(2):
        with CaptureQueriesContext(connection) as asking:
            asked = alice.post("/requests", ASK).body
        with CaptureQueriesContext(connection) as approving:
            bob.post(f"/requests/{asked['ref']}/verdicts", verdict(asked))
    assert (len(asking), len(approving)) == (24, 33)


# Seeing


def refs(caller: Caller, query: str = "") -> list[str]:
    answer = caller.get(f"/requests{query}")
    assert answer.status_code == 200, answer.body
    return [row["ref"] for row in answer.body["results"]]


def test_filters_narrow_the_list(api, asked):
    ours, theirs = api("robot").post("/requests", ASK).body["ref"], asked["ref"]
    api("bob").post(f"/requests/{theirs}/verdicts", verdict(asked))
    for who, query, found in (
        ("bob", "state=pending", [ours]),
        ("bob", "state=approved", [theirs]),
        ("bob", "requester=robot", [ours]),
        ("bob", "cluster=web", [ours, theirs]),
        ("bob", "cluster=db", []),
        ("bob", "kind=quick", []),
        ("alice", "mine=true", [theirs]),
        ("alice", "mine=false", [ours, theirs]),
        ("charlie", "", []),
        ("bob", "decidable=true", [ours]),
        ("alice", "decidable=true", []),
        ("robot", "decidable=true", []),
    ):
        assert refs(api(who), f"?{query}") == found, query


@pytest.mark.parametrize(
    "query",
    [
        "state=open",
        "mine=yes",
        "cluster=%00",
        "stat=pending",
        "state=pending&state=denied",
        "requester=A%20b",
    ],
)
def test_a_filter_that_means_nothing_is_refused_and_not_ignored(api, query):
    answer = api("alice").get(f"/requests?{query}")
    assert (answer.status_code, answer.body["code"]) == (400, "invalid")


# Deciding


def test_bob_approves_less_and_alice_has_exactly_that(api, asked):
    left = {"duration": 1800, "targets": ["web-1"], "commands": [0, 1]}
    answer = api("bob").post(f"/requests/{asked['ref']}/verdicts", verdict(asked, narrowing=left))
    assert answer.status_code == 200, answer.body
    grant = Grant.objects.get(ref=answer.body["grant"])
    assert (grant.expires_at - grant.starts_at).total_seconds() == 1800
    assert [target.name for target in grant.targets.all()] == ["web-1"]
    assert grant.commands == [0, 1]
    assert answer.body["approvals"][0]["narrowing"] == left
    assert answer.body["state"] == "approved"


def test_an_approver_adds_no_target(api, asked):
    wider = verdict(asked, narrowing={"targets": ["web-3"]})
    answer = api("bob").post(f"/requests/{asked['ref']}/verdicts", wider)
    assert (answer.status_code, list(answer.body["fields"])) == (400, ["narrowing.targets"])


def test_a_verdict_on_what_was_not_read_is_not_counted(api, asked):
    refused = api("bob").post(f"/requests/{asked['ref']}/verdicts", verdict(asked, digest="0" * 64))
    assert (refused.status_code, refused.body["code"]) == (409, "scope_changed")


def test_a_decided_request_is_not_decided_again(api, asked):
    path = f"/requests/{asked['ref']}/verdicts"
    assert api("bob").post(path, verdict(asked)).status_code == 200
    assert api("bob").post(path, verdict(asked)).status_code == 200  # the same verdict twice is one
    late = api("dora").post(path, verdict(asked, verdict="deny", comment="No"))
    assert (late.status_code, late.body["code"]) == (409, "already_decided")
    assert Grant.objects.count() == 1


# Withdrawing


def test_an_approver_withdraws_an_approval_before_the_start(api):
    later = (clock.now() + dt.timedelta(minutes=20)).isoformat()
    asked = api("alice").post("/requests", {**ASK, "starts_at": later}).body
    api("bob").post(f"/requests/{asked['ref']}/verdicts", verdict(asked))
    assert api("dora").delete(f"/requests/{asked['ref']}/verdicts").status_code == 409
    answer = api("bob").delete(f"/requests/{asked['ref']}/verdicts")
    assert (answer.status_code, Grant.objects.get().state) == (200, "ended")
    assert answer.body["approvals"][0]["voided_at"]


def test_the_requester_and_the_owner_of_a_machine_withdraw(api, asked):
    assert api("alice").post(f"/requests/{asked['ref']}/withdraw").body["state"] == "withdrawn"
    ours = api("robot").post("/requests", ASK).body["ref"]
    assert api("alice").post(f"/requests/{ours}/withdraw", {}).body["state"] == "withdrawn"


def test_what_may_be_asked_for_is_offered_by_place_and_by_command(api):
    asked = {"target": "web-1", "line": "echo restart nginx"}
    (offer,) = api("alice").post("/requests/offers", asked).body["results"]
    assert [offer[name] for name in ("command_set", "parameters", "missing")] == [
        "restart-web",
        {"unit": "nginx"},
        [],
    ]
    assert api("charlie").post("/requests/offers", asked).body == {"results": []}
    assert api("alice", "request").post("/requests/offers", {}).status_code == 403
