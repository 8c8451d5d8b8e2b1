"""Budgets of requests through Stint's own gateway."""

import gzip
import http.client
from concurrent.futures import ThreadPoolExecutor

import pytest
import yaml

from sessions_app.models import BudgetUse
from sessions_app.operations.sessions.decide_hold import decide_hold
from tests.support.servers.http_place import now
from tests.support.waits import eventually

SET = """
name: price-budget
kind: http
summary: Change prices within a budget
risk: medium
commands:
  - request: PUT /prices/{sku}
    where: {sku: {pattern: "S-[0-9]{1,8}"}}
    body: {price: {int: [0, 100]}}
    effect: change
    budget: [{sum: price, most: 100}]
  - request: GET /prices/{sku}
    where: {sku: {pattern: "S-[0-9]{1,8}"}}
    effect: read
    budget: [{calls: 3, then: refuse}]
  - request: GET /download/{sku}
    where: {sku: {pattern: "S-[0-9]{1,8}"}}
    query: {pieces: {int: [1, 100000]}}
    effect: read
    budget: [{bytes: 1MB, then: refuse}]
  - request: GET /flood/{sku}
    where: {sku: {pattern: "S-[0-9]{1,8}"}}
    effect: read
    budget: [{bytes: 1MB, then: end}]
  - request: GET /packed/{sku}
    where: {sku: {pattern: "S-[0-9]{1,8}"}}
    effect: read
    budget: [{bytes: 1MB, then: refuse}]
examples:
  allow: ["GET /prices/S-42"]
  refuse: ["GET /prices"]
"""


@pytest.fixture(scope="module")
def grants(place):
    """Return how a grant with a budget is made."""
    policy = yaml.safe_load(place.world.catalog["policies/prices-work.yaml"])
    policy["command_sets"].append("price-budget")
    place.world.catalog.update(
        {
            "command-sets/price-budget.yaml": SET,
            "policies/prices-work.yaml": yaml.safe_dump(policy),
        }
    )
    place.world.apply(now=now())
    return lambda: place.grant(command_set="price-budget", parameters={})


def says(grant) -> list[str]:
    from sessions_app.queries.grants.budgets import budgets_of

    return [one.says for one in budgets_of(grant, now())]


def test_a_request_beyond_the_sum_waits_until_a_person_allows_it(place, grants):
    grant = grants()
    assert place.ask(grant, "PUT /prices/S-42", {"price": 99}).status == 200
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(place.ask, grant, "PUT /prices/S-43", {"price": 2})
        eventually(lambda: grant.runs.filter(state="held").exists())
        run = grant.runs.get(state="held")
        assert run.notes == "held because price 2 exceeds the budget (99 of 100 used)"
        decide_hold(run_id=run.pk, actor=place.world.bob, allow=True, now=now())
        assert waiting.result(40).status == 200
    assert says(grant)[0] == "price: 101 of 100 used"


def test_reads_are_counted_singly_and_never_more_pass_than_fit(place, grants):
    grant, before = grants(), len(place.target.requests)
    place.token(grant)
    with ThreadPoolExecutor(10) as pool:
        replies = list(pool.map(lambda _: place.ask(grant, "GET /prices/S-42"), range(10)))
    assert sorted(reply.status for reply in replies) == [200] * 3 + [403] * 7
    refused = next(reply for reply in replies if reply.status == 403)
    assert "3 of 3 calls used" in refused.json["detail"]
    assert refused.json["context"]["code"] == "budget"
    assert len(place.target.requests) - before == 3


def test_a_download_that_does_not_fit_is_withheld_before_it_begins(place, grants):
    grant = grants()
    assert len(place.ask(grant, "GET /download/S-42?pieces=10").body) == 655_360
    eventually(lambda: says(grant)[2] == "655360 B of 1 MB used")
    reply = place.ask(grant, "GET /download/S-42?pieces=6")
    assert (reply.status, reply.json["code"]) == (403, "withheld")
    assert reply.json["title"] == "Its result exceeds the budget."
    assert place.ask(grant, "GET /download/S-42?pieces=1").json["context"]["code"] == "budget"


def test_a_compressed_response_does_not_get_more_through_than_the_budget(place, grants):
    grant, packed = grants(), gzip.compress(bytes(5_000_000))
    accepts = {"Accept_Encoding": "gzip"}
    place.target.said["/packed/S-42"] = {"body": packed, "headers": {"content-encoding": "gzip"}}
    reply = place.ask(grant, "GET /packed/S-42", **accepts)
    assert (reply.status, reply.json["code"]) == (502, "withheld")
    assert reply.json["title"] == "The target compressed the response, so a budget can't count it."
    assert ("accept-encoding", "identity") in lowered(place.target.last().headers)
    assert place.ask(grant, "GET /packed/S-43", **accepts).status == 200


def lowered(headers: list[tuple[str, str]]) -> list[tuple[str, str]]:
    return [(name.lower(), value) for name, value in headers]


def test_a_response_without_end_is_cut_at_the_budget_and_the_grant_ends(place, grants):
    grant = grants()
    try:
        got = len(place.ask(grant, "GET /flood/S-42").body)
    except http.client.IncompleteRead as error:
        got = len(error.partial)
    assert 0 < got <= 1_000_000
    eventually(lambda: grant.refresh_from_db() or grant.end_reason == "budget_used")
    assert BudgetUse.objects.get(grant=grant).used <= 1_000_000
