"""The palette finds what the search finds, and nothing that its reader may not see."""

import pytest

from sessions_app.web.home.palette import FEW


def found(client, text: str) -> dict[str, list[str]]:
    groups = client.get("/search/palette/", {"q": text}).json()["groups"]
    return {group["title"]: [item["url"] for item in group["items"]] for group in groups}


def test_it_leads_to_people_clusters_requests_grants_commands_and_guides(world, as_bob):
    grant = world.grant()
    assert found(as_bob, "alice") == {
        "People and machines": ["/people/alice/"],
        "Requests": [f"/requests/{grant.request.ref}/"],
        "Grants": [f"/grants/{grant.ref}/"],
    }
    web = found(as_bob, "web")
    assert (web["Clusters"], web["Policies"]) == (["/clusters/web/"], ["/policies/web-work/"])
    assert "/command-sets/restart-web/" in found(as_bob, "echo restart")["Commands"]
    assert "/docs/first-ssh-target/" in found(as_bob, "Your first SSH target")["Guides"]
    assert found(as_bob, "") == {}


def test_a_reference_comes_first_and_once(world, as_bob):
    grant = world.grant()
    assert found(as_bob, grant.ref.lower()) == {"Open": [f"/grants/{grant.ref}/"]}


def test_nobody_is_shown_what_they_may_not_see(world, as_charlie):
    grant = world.grant(ticket="CHG-7")
    for text in (grant.ref, grant.request.ref, "alice", "web", "echo restart", "CHG-7"):
        assert not set(found(as_charlie, text)) - {"Guides"}, text


def test_each_kind_has_few_results_and_those_that_begin_with_the_letters_come_first(world, as_bob):
    policy = world.catalog["policies/web-work.yaml"]
    world.apply(
        {
            f"policies/{name}.yaml": policy.replace("name: web-work", f"name: {name}")
            for name in (*(f"a{number}-web" for number in range(FEW)), "web-zz")
        }
    )
    assert found(as_bob, "web")["Policies"] == [
        "/policies/web-work/",
        "/policies/web-zz/",
        *(f"/policies/a{number}-web/" for number in range(FEW - 2)),
    ]


@pytest.mark.parametrize("text", ["\0", "<script>", "%", "x" * 500])
def test_odd_letters_find_nothing_and_break_nothing(as_bob, text):
    assert as_bob.get("/search/palette/", {"q": text}).status_code in (200, 400)
