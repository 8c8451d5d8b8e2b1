"""Where a target tells Stint nothing, no page and no answer says that nothing was run or refused."""

import json
import re

import pytest

from sessions_app.connectors.fake import FakeConnector
from sessions_app.models import Cluster, EndReason, Grant, Notice, Observed
from sessions_app.operations.grants.end_grant import end_grant
from sessions_app.operations.grants.prepare_grant import prepare_grant
from sessions_app.operations.grants.provision_grant import provision_grant
from sessions_app.queries.grants.receipts import receipt
from tests.sessions_app.api.conftest import api  # noqa: F401 - a fixture
from tests.sessions_app.web.conftest import browser  # noqa: F401 - a fixture
from tests.support.world.acts import undo
from tests.support.world.catalog import FILES
from tests.support.world.fakes import serving

# What would be a guess: a count of nothing, or that there was nothing.
GUESSES = (
    "0 commands",
    "0 refused",
    "0 held",
    "no command was refused",
    "Nothing was run",
    "none refused",
    "no command",
    "Nothing was read back",
    "0 refused commands",
)


@pytest.fixture
def grant(world):
    """A grant on a database of which Stint sees nothing, in use."""
    names = ("clusters/orders.yaml", "command-sets/read-orders.yaml", "policies/order-support.yaml")
    told = {name: FILES[name].replace(", read_statements: true", "") for name in names}
    told["policies/order-support.yaml"] += "break_glass: {groups: [on-call], max_duration: 1h}\n"
    world.catalog.update(told)
    world.apply()
    with serving(lambda: FakeConnector(kind="postgres"), kind="postgres"):
        made = world.grant(cluster="orders", command_set="read-orders", parameters={})
        yield prepare_grant(grant_id=made.pk, now=lambda: world.now)


@pytest.fixture
def ended(world, grant):
    end_grant(grant_id=grant.pk, actor=world.alice, reason=EndReason.RELEASED, now=world.now)
    return undo(grant, now=world.now)


def no_guess(text: str) -> None:
    assert re.search("not observed?", text, re.IGNORECASE)
    assert [guess for guess in GUESSES if guess.lower() in text.lower()] == []


@pytest.mark.parametrize(
    ("kind", "connection", "seen"),
    [
        ("ssh", {}, "all"),
        ("http", {}, "all"),
        ("mcp", {}, "all"),
        ("kubernetes", {}, "all"),
        ("kubernetes", {"direct": True}, "nothing"),
        ("postgres", {}, "nothing"),
        ("postgres", {"read_statements": True}, "some"),
        ("of-somebody-else", {}, "nothing"),
    ],
)
def test_stint_sees_what_passes_its_gateways_and_what_a_target_tells(kind, connection, seen):
    assert Cluster(kind=kind, connection=connection).observed == Observed(seen)


def test_the_receipt_says_not_observed_instead_of_counting_nothing(world, ended):
    compared = receipt(ended, world.now)["compared"]
    assert compared["observed"] == "nothing"
    assert compared["refused_times"] is None
    assert {row["times"] for row in (*compared["commands"], *compared["targets"])} == {None}
    no_guess(compared["sentence"])


def test_the_api_says_how_much_is_observed_of_a_grant_and_on_its_receipt(ended, api):  # noqa: F811 - the fixture
    alice = api("alice")
    assert alice.get(f"/grants/{ended.ref}").body["observed"] == "nothing"
    told = alice.get(f"/grants/{ended.ref}/receipt").body
    assert told["compared"]["observed"] == "nothing"
    no_guess(json.dumps(told))


def test_pages_of_a_live_grant_say_not_observed(world, grant, browser):  # noqa: F811 - the fixture
    for who, path in (("alice", f"/grants/{grant.ref}/"), ("alice", "/grants/"), ("bob", "/")):
        page = browser(who).get(path).content.decode()
        assert grant.ref in page or str(grant.holder) in page
        no_guess(page)


def test_pages_of_an_ended_grant_say_not_observed(world, ended, browser):  # noqa: F811 - the fixture
    for path in (f"/grants/{ended.ref}/", "/grants/?show=over"):
        no_guess(browser("alice").get(path).content.decode())


def test_who_decides_the_next_request_is_not_told_of_no_refusals(world, ended, browser):  # noqa: F811 - the fixture
    asked = world.request(cluster="orders", command_set="read-orders", parameters={})
    page = browser("bob").get(f"/approvals/{asked.ref}/").content.decode()
    assert "refusals not observed" in page
    no_guess(page)


def test_who_reviews_broken_glass_is_not_told_to_read_what_nobody_saw(world, grant):
    world.request(
        cluster="orders", command_set="read-orders", parameters={}, kind="break_glass", reason="It is down"
    )
    broken = provision_grant(grant_id=Grant.objects.get(break_glass=True).pk, now=world.now)
    end_grant(grant_id=broken.pk, actor=world.alice, reason=EndReason.RELEASED, now=world.now)
    undo(broken, now=world.now)
    assert any("Stint can't observe activity on this kind" in notice.body for notice in Notice.objects.all())
