"""/requests"""

from __future__ import annotations

from sessions_app.models import Grant

ASK = {
    "cluster": "web",
    "command_set": "restart-web",
    "duration": "1h30m",
    "reason": "Nightly",
    "parameters": {"unit": "nginx"},
}


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
    assert asked["you"] == {"may_decide": False, "why_not": "You asked for this yourself."}


def test_bob_approves_and_alice_has_a_grant(api):
    asked = api("alice").post("/requests", ASK).body
    verdict = {
        "verdict": "approve",
        "digest": asked["digest"],
        "narrowing": {"duration": 1800, "targets": ["web-1"]},
    }
    answer = api("bob").post(f"/requests/{asked['ref']}/verdicts", verdict)
    assert answer.status_code == 200, answer.body
    grant = Grant.objects.get(ref=answer.body["grant"])
    assert (grant.expires_at - grant.starts_at).total_seconds() == 1800
    assert [target.name for target in grant.targets.all()] == ["web-1"]
    assert answer.body["approvals"][0]["narrowing"] == {"duration": 1800, "targets": ["web-1"]}
