"""/clusters, /command-sets, /policies and /catalog"""

import pytest

from sessions_app.models import CommandSetVersion
from tests.support.world.acts import enter, run

DRAFT = """
name: restart-web
kind: ssh
summary: Restart one web service
risk: medium
parameters:
  unit: {choice: [nginx, haproxy]}
commands:
  - run: echo restart {unit}
    effect: change
examples:
  allow: ["echo restart nginx"]
  refuse: ["echo restart sshd"]
"""
OTHER = DRAFT.replace("restart-web", "unused")
SHELL = DRAFT.replace("echo restart {unit}", "bash -c {unit}").replace("name: restart-web", "name: shell")


@pytest.mark.parametrize("path", ["/clusters", "/command-sets", "/policies"])
def test_lists_hold_what_one_may_see(api, path):
    assert len(api("alice").get(path).body["results"]) == 1
    assert api("charlie").get(path).body == {"results": [], "next": None}


# Drafts


def test_an_administrator_saves_and_publishes_and_others_see_it_only_then(api):
    draft = api("admin").post("/command-sets", {"source": DRAFT})
    assert (draft.status_code, draft.body["number"], draft.body["published_at"]) == (201, 2, None)
    assert draft["Location"] == "/api/v1/command-sets/restart-web/versions/2"
    assert api("alice").get("/command-sets/restart-web/versions/2").status_code == 404
    assert api("alice").get("/command-sets/restart-web").body["versions"] == [1]
    assert api("admin").get("/command-sets/restart-web").body["versions"] == [1, 2]
    published = api("admin").post("/command-sets/restart-web/versions/2/publish")
    assert (published.status_code, published.body["published_by"]) == (200, "admin")
    assert api("alice").get("/command-sets/restart-web").body["published"] == 2
    again = api("admin").post("/command-sets/restart-web/versions/2/publish")
    assert again.status_code == 409


def test_what_the_linter_says_stops_the_publishing_or_needs_a_reason(api):
    draft = api("admin").post("/command-sets", {"source": SHELL}).body
    assert {finding["severity"] for finding in draft["findings"]} & {"error", "warning"}
    path = f"/command-sets/shell/versions/{draft['number']}/publish"
    refused = api("admin").post(path)
    assert (refused.status_code, refused.body["code"]) == (422, "not_fit_to_publish")
    odd = api("admin").post(path, {"accepted": {"password": "x"}})
    assert (odd.status_code, list(odd.body["fields"])) == (400, ["accepted.password"])


# Trying


@pytest.mark.parametrize(
    ("sent", "verdict", "says"),
    [
        ({"line": "echo restart nginx", "parameters": {"unit": "nginx"}}, "allowed", ""),
        ({"line": "echo restart haproxy", "parameters": {"unit": "nginx"}}, "refused", "haproxy"),
        ({"line": "echo restart haproxy"}, "allowed", ""),
        ({"line": "echo stop nginx", "parameters": {"unit": "nginx"}}, "held", ""),
        ({"line": ""}, "refused", "a command is required"),
        ({"line": "echo log nginx 5000", "version": 1}, "refused", "5000"),
    ],
)
def test_a_line_is_tried(api, sent, verdict, says):
    answer = api("alice", "read").post("/command-sets/restart-web/try", sent)
    assert (answer.status_code, answer.body["verdict"]) == (200, verdict), answer.body
    assert says in answer.body["reason"]


def test_the_tester_says_what_the_gateway_says(api, world):
    used, opened = enter(world.grant(), now=world.now)
    for line in ("echo restart nginx", "echo restart haproxy", "echo stop nginx", "id", "echo 'a'b"):
        sent = {"line": line, "parameters": {"unit": "nginx"}}
        told = api("alice").post("/command-sets/restart-web/try", sent).body
        done = run(used, opened, line, now=world.now)
        assert told["verdict"] == done.verdict, line
        if done.verdict == "refused":
            assert done.message.startswith(told["reason"])


def test_drafts_and_sets_of_others_are_not_tried(api):
    api("admin").post("/command-sets", {"source": DRAFT})
    assert api("admin").post("/command-sets/restart-web/try", {"line": "x", "version": 2}).status_code == 200
    assert api("alice").post("/command-sets/restart-web/try", {"line": "x", "version": 2}).status_code == 404
    assert api("charlie").post("/command-sets/restart-web/try", {"line": "x"}).status_code == 404


def test_parameters_that_do_not_fit_are_named(api):
    answer = api("alice").post(
        "/command-sets/restart-web/try", {"line": "x", "parameters": {"unit": "sshd", "more": "1"}}
    )
    assert answer.status_code == 400
    assert set(answer.body["fields"]) == {"parameters.unit", "parameters.more"}


# Files


def test_a_plan_says_what_would_change_and_changes_nothing(api, world):
    files = {"files": {"command-sets/unused.yaml": OTHER}}
    plan = api("admin").post("/catalog/plan", files).body
    assert [(row["action"], row["type"], row["name"]) for row in plan["changes"]] == [
        ("create", "command set", "unused")
    ]
    assert not CommandSetVersion.objects.filter(command_set__name="unused").exists()
    assert api("admin").post("/catalog/apply", files).body == plan
    assert CommandSetVersion.objects.filter(command_set__name="unused").exists()


@pytest.mark.parametrize("act", ["plan", "apply"])
def test_nobody_else_plans_or_applies(api, act):
    files = {"groups/approvers.yaml": "name: approvers\nmembers: [alice]\n"}
    for who in ("alice", "bob", "robot"):
        refused = api(who).post(f"/catalog/{act}", {"files": files})
        assert (refused.status_code, refused.body["code"]) == (403, "only_administrators")
