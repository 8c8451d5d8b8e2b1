"""/history/… and /permissions"""

import datetime as dt

from tests.support.world import acts


def test_versions_and_their_difference_are_for_those_who_answer_for_a_policy(api, world):
    world.apply(acts.policy(world, max_duration="2h"), now=world.now + dt.timedelta(hours=1))
    versions = api("bob").get("/history/policy/web-work").body["versions"]
    assert [(one["number"], one["document"]["max_duration"]) for one in versions] == [(2, "2h"), (1, "4h")]
    query = "?since_version=1&to_version=2"
    lines = api("bob").get(f"/history/policy/web-work/difference{query}").body["lines"]
    assert {"-max_duration: 4h", "+max_duration: 2h"} <= set(lines)
    for path in (
        "/history/policy/web-work",
        f"/history/policy/web-work/difference{query}",
        "/history/group/operators",
    ):
        assert api("alice").get(path).status_code == 404
    missing = api("bob").get("/history/policy/web-work/difference?since_version=1&to_version=9")
    assert missing.status_code == 404


def test_types_of_two_words_are_written_with_a_hyphen(api, world):
    answer = api("admin").get("/history/command-set/restart-web")
    assert answer.body.get("versions"), answer.body
    assert api("admin").get("/history/nonsense/restart-web").status_code == 404


def test_permissions_at_a_moment_are_ones_own_and_for_administrators_everybodys(api, world):
    found = api("admin").get("/permissions").body["permissions"]
    assert {
        "identity": "bob",
        "permission": "approve",
        "type": "policy",
        "name": "web-work",
        "group": "approvers",
        "policy": "web-work",
        "clusters": ["web"],
        "command_sets": ["restart-web"],
        "needs": "",
    } in found
    assert api("admin").get("/permissions?at=2020-01-01T12:00:00Z").body["permissions"] == []
    assert {one["identity"] for one in api("alice").get("/permissions").body["permissions"]} == {
        "alice",
        "robot",
        "deployer",
    }
    assert {one["identity"] for one in api("bob").get("/permissions").body["permissions"]} == {"bob"}
    assert api("charlie").get("/permissions").body["permissions"] == []
