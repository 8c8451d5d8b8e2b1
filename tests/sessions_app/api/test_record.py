"""/record"""

import datetime as dt
import itertools

import pytest

from accounts.operations.create_token import create_token
from broker.audit.models import AuditEntry
from tests.sessions_app.api.conftest import Caller
from tests.support.world.sources import SOURCE, is_open, speaking_for


def rows(caller, query: str = "") -> list[dict]:
    answer = caller.get(f"/record{query}")
    assert answer.status_code == 200, answer.body
    return answer.body["results"]


def test_administrators_see_all_and_others_what_is_about_what_they_may_see(api, world):
    grant = world.grant()
    assert len(rows(api("admin"), "?page_size=200")) == AuditEntry.objects.count()
    assert {row["object_ref"] for row in rows(api("alice"))} >= {
        grant.ref,
        grant.request.ref,
        "alice",
        "robot",
        "web",
    }
    assert {row["object_ref"] for row in rows(api("bob"))} >= {
        grant.ref,
        grant.request.ref,
        "bob",
        "web-work",
    }
    assert {row["object_ref"] for row in rows(api("bob"))}.isdisjoint({"alice", "robot", "charlie"})
    assert {row["object_ref"] for row in rows(api("charlie"))} == {"charlie"}


def test_a_run_sees_nothing_of_other_runs_of_its_pipeline(world):
    with speaking_for() as pager:
        pager.workflows |= {"Q1": is_open(), "Q2": is_open()}
        world.apply({"workflow-sources/pager.yaml": SOURCE})
        mine, other = (world.request(world.deployer, workflow=f"pager:{name}") for name in ("Q1", "Q2"))
    _, text = create_token(
        identity_id=world.deployer.pk,
        label="run",
        scopes=["read"],
        lifetime=dt.timedelta(minutes=5),
        actor=world.alice,
        now=world.now,
        workflow="pager:Q1",
    )
    seen = {row["object_ref"] for row in rows(Caller(world.deployer, text))}
    assert {mine.ref, "pager:Q1"} <= seen
    assert seen.isdisjoint({other.ref, "pager:Q2", "deployer"})


def test_filters_narrow_it(api, world):
    grant = world.grant()
    admin = api("admin")
    assert [row["event"] for row in rows(admin, f"?object={grant.ref}")] == [
        "grant.active",
        "grant.provisioning",
        "grant.scheduled",
    ]
    assert {row["actor"] for row in rows(admin, "?actor=bob")} == {"bob"}
    assert {row["event"] for row in rows(admin, "?event=request")} == {"request.created", "request.approved"}
    assert [row["object_ref"] for row in rows(admin, "?event=request.created")] == [grant.request.ref]
    moment = world.now.isoformat().replace("+00:00", "Z")
    assert rows(admin, f"?until={moment}") == []
    assert len(rows(admin, f"?since={moment}&page_size=200")) == AuditEntry.objects.count()


def test_entries_can_be_checked_against_each_other(api, world):
    world.grant()
    found = rows(api("admin"), "?page_size=200")
    assert all(later["previous_hash"] == earlier["hash"] for later, earlier in itertools.pairwise(found))
    assert len({row["hash"] for row in found}) == len(found)


@pytest.mark.parametrize("query", ["event=Grant", "since=today", "object=%00", "cursor=-1", "seq=1"])
def test_a_filter_that_means_nothing_is_refused(api, query):
    assert api("admin").get(f"/record?{query}").status_code == 400
