"""/workflows, and access that is bound to one"""

import pytest

from sessions_app.models import Grant
from tests.support.world.acts import change
from tests.support.world.sources import SOURCE, is_open, speaking_for

INCIDENT = {"title": "Checkout is slow", "severity": "P2", "clusters": ["web"]}
ASK = {
    "cluster": "web",
    "command_set": "restart-web",
    "duration": "1h",
    "parameters": {"unit": "nginx"},
    "kind": "incident",
}


@pytest.fixture
def opened(api):
    return api("bob").post("/workflows", INCIDENT).body


def test_an_incident_is_opened_seen_and_listed(api):
    answer = api("bob").post("/workflows", INCIDENT)
    assert answer.status_code == 201, answer.body
    opened = answer.body
    assert answer["Location"] == f"/api/v1/workflows/{opened['ref']}"
    assert (opened["kind"], opened["state"], opened["clusters"]) == ("incident", "open", ["web"])
    assert (opened["opened_by"], opened["changed_by"]) == (["bob"], [])
    assert api("alice").get(f"/workflows/{opened['ref']}").body == opened
    assert [row["ref"] for row in api("alice").get("/workflows?state=open").body["results"]] == [
        opened["ref"]
    ]
    assert api("alice").get("/workflows?state=closed").body["results"] == []


def test_who_is_on_call_asks_for_it_and_starts_at_once(api, opened):
    asked = api("alice").post("/requests", {**ASK, "workflow": opened["ref"]}).body
    assert (asked["state"], asked["kind"], asked["workflow"]) == ("approved", "incident", opened["ref"])
    assert asked["needed"] == []
    grant = api("alice").get(f"/grants/{asked['grant']}").body
    assert grant["workflow"] == opened["ref"]
    assert api("alice").get(f"/grants/{asked['grant']}/receipt").body["approved"]["workflow"] == opened["ref"]
    preview = api("robot").post("/requests/preview", {**ASK, "workflow": opened["ref"]}).body
    assert preview["outcome"] == "refused"
    assert {rule["rule"] for rule in preview["rules"] if not rule["permitted"]} == {"on_call"}


def test_a_preview_reads_a_workflow_that_nobody_has_named_before(api, world):
    with speaking_for() as source:
        source.workflows["INC-1"] = is_open()
        change(world, {"workflow-sources/pager.yaml": SOURCE})
        api("alice").post("/requests/preview", {**ASK, "workflow": "pager:INC-1"})
    assert source.asked == ["INC-1"]


def test_closing_ends_what_is_bound_to_it_and_stays(api, opened):
    asked = api("alice").post("/requests", {**ASK, "workflow": opened["ref"]}).body
    closed = api("dora").post(f"/workflows/{opened['ref']}/close", {"note": "Restarted."}).body
    assert (closed["state"], closed["closed_by"], closed["close_note"]) == ("closed", "dora", "Restarted.")
    assert Grant.objects.get(ref=asked["grant"]).end_reason == "workflow_closed"
    refused = api("alice").post("/requests", {**ASK, "workflow": opened["ref"]})
    assert (refused.status_code, refused.body["code"]) == (422, "request_refused")


def test_a_token_needs_the_scope_of_the_act(api, opened):
    assert api("bob", "read").post("/workflows", INCIDENT).status_code == 403
    assert api("bob", "read", "request").post(f"/workflows/{opened['ref']}/close", {}).status_code == 403
    assert api("bob", "end").post(f"/workflows/{opened['ref']}/close", {}).status_code == 200


def test_not_yours_is_not_there(api, opened):
    for path in (f"/workflows/{opened['ref']}", "/workflows/INC-999999"):
        assert api("charlie").get(path).status_code == 404
        assert api("charlie").post(f"{path}/close", {"note": "x"}).status_code == 404
    assert api("charlie").get("/workflows").body["results"] == []
    assert api("charlie").post("/workflows", INCIDENT).status_code == 400
