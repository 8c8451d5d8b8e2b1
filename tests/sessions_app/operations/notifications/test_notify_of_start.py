"""Telling approvers of access that did not wait for them."""

from sessions_app.models import Notice
from tests.support.world.acts import policy


def told(event: str) -> list[tuple[str, str, str]]:
    found = Notice.objects.filter(event=event).order_by("identity__username")
    return list(found.values_list("identity__username", "subject", "path"))


def test_all_approvers_are_told_what_started_and_where_to_look(world):
    incident = world.incident()
    grant = world.respond(incident)
    subject = f"Alice has access for {incident.ref} on web"
    assert told("grant.scheduled") == [(name, subject, f"/grants/{grant.ref}/") for name in ("bob", "dora")]


def test_the_holder_is_not_told_of_what_he_did_himself(world):
    world.apply({"groups/approvers.yaml": "name: approvers\nmembers: [alice, bob]\n"})
    world.respond(world.incident())
    assert [name for name, _, _ in told("grant.scheduled")] == ["bob"]


def test_where_nobody_approves_the_administrators_of_the_policy_are_told(world):
    world.apply(policy(world, approvals="none", administrators={"groups": ["approvers"]}))
    world.respond(world.incident())
    assert [name for name, _, _ in told("grant.scheduled")] == ["bob", "dora"]
