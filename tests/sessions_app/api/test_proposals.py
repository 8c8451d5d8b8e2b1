"""/proposals"""

from tests.sessions_app.api.conftest import Caller, token_for
from tests.support.world.proposals import delegate, propose


def test_administrators_of_a_document_list_show_and_decide_its_proposals(api, world):
    delegate(world)
    first = propose(world)
    (shown,) = api("bob").get("/proposals").body["results"]
    assert (shown["id"], shown["name"], shown["state"]) == (first.pk, "web-work", "pending")
    assert (shown["proposed_by"], shown["wider"]) == ("dora", ["requesters", "approvals"])
    assert "+approvals: none" in shown["diff"]
    assert api("alice").get("/proposals").body["results"] == []
    assert api("alice").get(f"/proposals/{first.pk}").status_code == 404
    refused = api("bob").post(f"/proposals/{first.pk}/refuse", {"comment": "No."}).body
    assert (refused["state"], refused["decided_by"], refused["comment"]) == ("refused", "bob", "No.")
    withdrawn = api("dora").post(f"/proposals/{propose(world).pk}/withdraw", {}).body
    assert withdrawn["state"] == "withdrawn"
    last = propose(world)
    denied = api("dora").post(f"/proposals/{last.pk}/publish", {})
    assert (denied.status_code, denied.body["code"]) == (403, "may_not_publish")
    assert api("bob").post(f"/proposals/{last.pk}/publish", {}).body["state"] == "published"
    assert api("bob").post(f"/proposals/{last.pk}/publish", {}).status_code == 409


def test_a_token_needs_the_scope_to_administer(world):
    delegate(world)
    proposal = propose(world)
    caller = Caller(world.bob, token_for(world.bob, world.now, "read", "decide"))
    assert caller.get(f"/proposals/{proposal.pk}").status_code == 200
    for act in ("publish", "refuse", "withdraw"):
        assert caller.post(f"/proposals/{proposal.pk}/{act}", {}).body["code"] == "scope_missing"


def test_files_are_applied_by_no_one_who_administers_only_one_document(api, world):
    delegate(world)
    answer = api("dora").post("/catalog/apply", {"files": {"policies/web-work.yaml": "name: web-work\n"}})
    assert (answer.status_code, answer.body["code"]) == (403, "only_administrators")
