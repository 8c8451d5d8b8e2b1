"""/search"""

from urllib.parse import quote

from accounts.models import Identity
from sessions_app.queries.search import search
from tests.support.world import acts


def hits(caller, text: str) -> list[tuple[str, str]]:
    answer = caller.get(f"/search?q={quote(text)}")
    assert answer.status_code == 200, answer.body
    return [(hit["kind"], hit["name"]) for hit in answer.body["results"]]


def test_everything_that_fits_some_letters_is_found_in_one_answer(api, world):
    grant = world.grant(ticket="CHG-1")
    assert hits(api("alice"), "web") == [
        ("grant", grant.ref),
        ("cluster", "web"),
        ("command_set", "restart-web"),
        ("policy", "web-work"),
    ]
    assert hits(api("alice"), "CHG-1") == [("request", grant.request.ref)]
    assert ("identity", "alice") in hits(api("bob"), "alic")
    (found,) = api("bob").get("/search?q=CHG-1").body["results"]
    assert found["about"] == "alice: restart-web on web"


def test_a_reference_comes_first_however_it_is_written(api, world):
    grant = world.grant()
    assert hits(api("alice"), f" {grant.ref.lower()} ")[0] == ("grant", grant.ref)
    assert hits(api("alice"), grant.ref).count(("grant", grant.ref)) == 1
    assert hits(api("alice"), grant.request.ref.replace("-", "")) == [("request", grant.request.ref)]


def test_nothing_is_found_that_one_may_not_see(api, world):
    grant = world.grant(ticket="CHG-1")
    for text in ("web", "CHG-1", grant.ref, grant.request.ref, "alice", "robot"):
        assert hits(api("charlie"), text) == []
    assert hits(api("charlie"), "charlie") == [("identity", "charlie")]


def test_no_letters_find_nothing_and_too_many_are_refused(api):
    assert hits(api("alice"), "") == hits(api("alice"), "  ") == hits(api("alice"), "%") == []
    assert api("alice").get(f"/search?q={'x' * 101}").status_code == 400
    assert api("alice").get("/search?q=%00").status_code == 400


def test_work_is_found_by_its_reference_and_its_title(world, api):
    change = world.workflow("change", title="Swap the disks")
    for text in (change.ref, "the disks"):
        (found,) = api("alice").get(f"/search?q={quote(text)}").body["results"]
        assert found == {"kind": "workflow", "name": change.ref, "about": "Swap the disks"}
    assert api("charlie").get(f"/search?q={change.ref}").body["results"] == []


def test_commands_and_a_number_alone_are_found_too(world, api, now):
    grant = world.grant()
    use = acts.use(grant, now=now)
    acts.run(use, acts.session(use, now=now), "echo restart nginx", now=now)
    assert hits(api("alice"), "restart nginx") == [("run", grant.ref)]
    assert ("command", "restart-web") in hits(api("alice"), "echo log")
    assert hits(api("alice"), str(grant.request.number))[0] == ("request", grant.request.ref)
    for text in ("restart nginx", "echo log", str(grant.request.number)):
        assert hits(api("charlie"), text) == []


def test_a_token_for_one_workflow_finds_it_alone(world):
    mine, other = world.incident(), world.incident()
    alice = Identity.objects.get(pk=world.alice.pk)
    assert {one.ref for one in search(alice, "INC-", world.now).workflows} == {mine.ref, other.ref}
    alice.bound_to = mine.ref
    found = search(alice, "INC-", world.now)
    assert [one.ref for one in found.workflows] == [mine.ref]
    assert [one.name for one in search(alice, "web", world.now).clusters] == ["web"]
