"""Who is one person, and whose incident it is, as the stint command says it."""

from __future__ import annotations

import pytest

from accounts.operations.create_identity import create_identity
from broker.kernel import clock
from tests.support.world.acts import policy
from tests.support.world.world import SETUP

WORDS = ("request", "web", "restart-web", "-p", "unit=nginx", "--yes")


@pytest.fixture
def two_accounts(laptops):
    """Bob has a second account, which approves as well; two approvals are needed, and Alice's machine is on call too."""
    world = laptops.world
    if not hasattr(world, "bob2"):
        world.bob2 = create_identity(username="bob2", email="BOB@example.com", actor=SETUP, now=clock.now())
    (two,) = policy(world, approvals=[{"count": 2, "from": ["approvers"]}]).values()
    files = {
        "policies/web-work.yaml": two,
        "groups/approvers.yaml": "name: approvers\nmembers: [bob, bob2, dora]\n",
        "groups/on-call.yaml": "name: on-call\nmembers: [alice, robot]\n",
    }
    world.apply(files, now=clock.now())
    yield laptops
    world.apply(now=clock.now())


def test_a_second_verdict_by_another_account_is_refused_and_not_listed(two_accounts):
    asked = two_accounts["alice"].json(*WORDS, "-m", "Nightly restart")
    bob, bob2 = two_accounts["bob"], two_accounts["bob2"]
    assert bob("approve", asked["ref"], "--yes").returncode == 0
    assert bob2.json("approvals")["results"] == []
    status, said = bob2.fails("approve", asked["ref"], "--yes")
    assert status != 0
    assert "You have already decided it as bob." in said
    assert two_accounts["dora"]("approve", asked["ref"], "--yes").returncode == 0
    assert two_accounts["alice"].json("status", asked["ref"])["state"] == "approved"


def test_an_own_incident_needs_a_reason_and_gives_a_machine_nothing(two_accounts):
    world = two_accounts.world
    incident = world.incident(world.alice, now=clock.now())
    words = (*WORDS, "--kind", "incident", "--workflow", incident.ref)
    assert "requires a reason" in two_accounts["alice"].fails(*words)[1]
    assert (
        "machines get no access from their own incidents"
        in two_accounts["robot"].fails(*words, "-m", "Restart it")[1]
    )
    asked = two_accounts["alice"].json(*words, "-m", "Checkout is down")
    assert asked["state"] == "approved"
    assert two_accounts["alice"].json("status", asked["grant"])["review_due_at"]
