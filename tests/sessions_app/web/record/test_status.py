"""The Status page: how fast access ended, and what fails now, as far as its reader may know."""

import datetime as dt

import pytest

from sessions_app.models import Drift, EndsOfDay, GatewayNode, Observation, Target
from sessions_app.operations.sweep.count_ends import count_ends
from sessions_app.tasks import _verify_whole as verify_record
from sessions_app.web.record.status_page import status
from tests.support.world import acts
from tests.support.world.reading import read


@pytest.fixture
def calm(world, now):
    """All is well: the targets were reconciled, and a gateway runs."""
    for target in Target.objects.all():
        Observation.objects.create(target=target, tried_at=now, seen_at=now)
    GatewayNode.objects.create(name="one", host_key="ssh-ed25519 AAAA", seen_at=now, version="0.1.0")
    return world


def failing(reader, now) -> list[tuple[str, str]]:
    return [(one.tone, one.text) for one in status(reader, now).failing]


def test_while_all_is_well_it_says_so_to_everybody(calm, now, browser):
    for name in ("alice", "charlie"):
        text = browser(name).get("/status/").content.decode()
        assert "All systems operational" in text
        assert "No ends yet" in text


def test_it_has_the_last_verification_of_the_record(calm, now, as_alice):
    assert "Record not verified yet" in read(as_alice, "/status/").split("<main", 1)[1]
    verify_record()
    assert "Record intact" in read(as_alice, "/status/").split("<main", 1)[1]


def test_ends_are_shown_against_the_promise(calm, now):
    day = now.astimezone(dt.UTC).date()
    EndsOfDay.objects.create(day=day, cause="revoke", total=999, late=0, longest=0.5, buckets={"65": 999})
    EndsOfDay.objects.create(
        day=day - dt.timedelta(days=3),
        cause="deadline",
        total=1001,
        late=1,
        longest=70.0,
        buckets={"40": 1000, "116": 1},
    )
    EndsOfDay.objects.create(
        day=day - dt.timedelta(days=30), cause="revoke", total=9, late=9, longest=9, buckets={}
    )
    found = status(calm.alice, now)
    shown = {tile.title: (tile.tone, tile.value, tile.below) for tile in found.tiles}
    assert shown["Ends on time"] == ("ok", "99.950%", "objective 99.9% within 2 s")
    assert shown["Error budget left"] == ("ok", "50%", "1 of 2.0 late ends used")
    assert shown["Revocations, p99"] == ("ok", "490 ms", "median 468 ms")
    assert [row.ends.total for row in found.rows] == [1001, 999]
    assert (len(found.days), found.days[-1].tone, found.days[-4].tone, found.days[0].tone) == (
        30,
        "ok",
        "ok",
        "mute",
    )


@pytest.mark.parametrize(
    ("late", "budget", "tone"), [(0, "100%", "ok"), (1, "0%", "bad"), (3, "-200%", "bad")]
)
def test_an_overspent_budget_is_said(calm, now, late, budget, tone):
    EndsOfDay.objects.create(
        day=now.date(), cause="revoke", total=1000, late=late, longest=3, buckets={"0": 1000}
    )
    (tile,) = [tile for tile in status(calm.alice, now).tiles if tile.title == "Error budget left"]
    assert (tile.value, tile.tone) == (budget, tone)


def test_an_end_that_is_overdue_comes_first_and_one_on_its_way_is_no_failure(calm, now):
    grant = calm.grant()
    acts.revoke(grant)
    acts.awake(now + dt.timedelta(seconds=60))
    GatewayNode.objects.update(seen_at=now + dt.timedelta(seconds=60))
    since = acts.fresh(grant).revoking_at
    assert failing(calm.alice, since + dt.timedelta(seconds=4)) == []
    ((tone, text),) = failing(calm.alice, since + dt.timedelta(seconds=60))
    assert (tone, text) == ("bad", "1 grant had to end up to 60 s ago, but the end is not confirmed yet")
    assert status(calm.alice, since + dt.timedelta(seconds=60)).heading == "Access may not end on time"


def test_targets_are_named_to_those_who_may_see_their_cluster_and_counted_for_others(calm, now):
    Observation.objects.filter(target__name="web-1").update(error="no route to 10.0.0.7")
    assert failing(calm.alice, now) == [("warn", "target web-1 of web can't be read")]
    assert failing(calm.charlie, now) == [("warn", "1 target can't be read")]


def test_what_else_fails_is_counted(calm, now):
    Drift.objects.create(target=Target.objects.first(), kind="orphan", mark="m", seen_at=now)
    acts.awake(now - dt.timedelta(seconds=60))
    assert [tone for tone, _ in failing(calm.alice, now)] == ["bad", "warn"]


@pytest.mark.parametrize(
    ("changes", "word"), [({}, "Running"), ({"seen_at": 40}, "Silent"), ({"stopped_at": 40}, "Stopped")]
)
def test_gateways_seen_within_a_day_are_listed_with_their_state(calm, now, changes, word):
    GatewayNode.objects.update(**{name: now - dt.timedelta(seconds=ago) for name, ago in changes.items()})
    GatewayNode.objects.create(name="gone", seen_at=now - dt.timedelta(days=2))
    found = status(calm.alice, now)
    (gateway,) = found.gateways
    assert (gateway.node.name, gateway.serves, gateway.look.word) == ("one", "SSH", word)
    assert any("gateway one" in one.text for one in found.failing) is (word == "Silent")


def test_it_reads_what_was_counted_and_no_grants_of_the_past(
    calm, now, browser, django_assert_max_num_queries
):
    count_ends(now=now)
    client = browser("alice")
    client.get("/status/")
    with django_assert_max_num_queries(30) as captured:
        client.get("/status/")
    assert not any("percentile" in query["sql"] for query in captured.captured_queries)
