"""A list costs as many queries with forty rows as with one."""

from __future__ import annotations

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from broker.kernel import clock
from sessions_app.models import Grant
from tests.support import acts

LISTS = [
    "/",
    "/requests/?show=all",
    "/approvals/",
    "/grants/?show=all",
    "/clusters/",
    "/command-sets/",
    "/policies/",
    "/people/",
    "/record/",
    "/search/?q=web",
    "/requests/new/",
    "/requests/new/?kind=incident",
    "/incidents/",
]


def count(client, url: str) -> int:
    client.get(url)
    # The clock asks the database every few seconds; not within the count.
    clock.sync()
    with CaptureQueriesContext(connection) as captured:
        assert client.get(url).status_code == 200
    return len(captured)


def grow(world, now, many: int) -> Grant:
    grant = world.grant()
    used = acts.use(grant, now=now)
    session = acts.session(used, now=now)
    for number in range(many):
        acts.run(used, session, "echo restart nginx", now=now)
        acts.run(used, session, "echo stop nginx", now=now)
        world.request(reason=f"Request {number}")
        world.request(world.deployer, reason=f"Request {number}")
        world.grant(parameters={"unit": "haproxy"})
        world.request(kind="break_glass", reason="Down")
        world.respond(world.incident())
    return grant


@pytest.mark.parametrize("person", ["alice", "bob", "admin"])
def test_lists_cost_the_same_for_any_number_of_rows(world, browser, now, person):
    client = browser(person)
    urls = [url for url in LISTS if person == "admin" or url != "/people/"]
    grow(world, now, 1)
    before = {url: count(client, url) for url in urls}
    grow(world, now, 4)
    files = {
        f"clusters/web-{n}.yaml": world.catalogue["clusters/web.yaml"].replace(
            "name: web\n", f"name: web-{n}\n"
        )
        for n in range(3)
    }
    names = ", ".join(["web", *(f"web-{n}" for n in range(3))])
    world.apply(
        {
            **files,
            "policies/web-work.yaml": world.catalogue["policies/web-work.yaml"].replace(
                "clusters: [web]", f"clusters: [{names}]"
            ),
        }
    )
    after = {url: count(client, url) for url in urls}
    assert after == before
    assert max(after.values()) <= 40


def test_the_page_of_a_grant_costs_the_same_for_any_number_of_runs(world, as_bob, now):
    grant = grow(world, now, 1)
    before = count(as_bob, f"/grants/{grant.ref}/")
    used = acts.use(grant, now=now)
    session = acts.session(used, now=now)
    for _ in range(20):
        acts.run(used, session, "echo restart nginx", now=now)
    assert count(as_bob, f"/grants/{grant.ref}/") == before
