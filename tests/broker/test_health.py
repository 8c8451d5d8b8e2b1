"""What probers ask."""

import datetime as dt
import re
from types import SimpleNamespace

import pytest
from django.db import transaction
from django.test import Client

from broker.audit.checkpoint import make_checkpoint
from broker.audit.events import Event
from broker.audit.record import record
from broker.kernel import clock
from sessions_app.models import Cluster, GatewayNode, Notice, Observation, Sweeper, Target
from tests.support.databases import use
from tests.support.pace import allow
from tests.support.world.acts import awake
from tests.support.world.world import SETUP


@pytest.fixture
def prober():
    """Asks by address, as probers do."""
    return Client(headers={"host": "10.0.0.9:8000"})


def test_a_live_process_says_so_without_a_database(prober):
    assert prober.get("/healthz").content == b"ok\n"


def test_a_migrated_database_makes_it_ready(world, prober):
    answer = prober.get("/readyz")
    assert answer.status_code == 200
    assert answer.json() == {"ready": True, "problems": [], "warnings": []}


def test_without_a_sweeper_it_is_ready_and_says_that_nothing_new_may_start(world, prober):
    awake(clock.now() - dt.timedelta(seconds=31))
    answer = prober.get("/readyz")
    assert (answer.status_code, answer.json()["ready"]) == (200, True)
    (warning,) = answer.json()["warnings"]
    said = re.match(r"no process that ends access has run for (\d+) s, so no new access can start", warning)
    assert is_aged(float(said[1]), 31)
    Sweeper.objects.all().delete()
    (warning,) = prober.get("/readyz").json()["warnings"]
    assert "has run yet" in warning


def test_checkpoints_that_can_not_be_kept_are_said_and_measured(world, prober, settings, tmp_path):
    settings.CHECKPOINTS_FILE = tmp_path / "a file" / "checkpoints.txt"
    settings.CHECKPOINTS_FILE.parent.write_text("")
    assert "stint_checkpoints_failing_seconds 0.0" in Client().get("/metrics").content.decode()
    with pytest.raises(OSError, match="exists"):
        make_checkpoint(now=clock.now() - dt.timedelta(seconds=90))
    (warning,) = prober.get("/readyz").json()["warnings"]
    said = re.match(r"checkpoints have not been written outside the database for (\d+) s: ", warning)
    assert is_aged(float(said[1]), 90)
    assert str(tmp_path) not in warning, "a stranger reads paths of this machine"
    assert is_aged(metric("stint_checkpoints_failing_seconds"), 90)


def is_aged(told: float, seconds: float) -> bool:
    """Whether something is said to be as old as it was made, and as much older as it took to ask."""
    return seconds - 1 < told < seconds + allow(10)


def metric(name: str) -> float:
    """The value of a metric."""
    lines = Client().get("/metrics").content.decode().splitlines()
    return float(next(line.removeprefix(f"{name} ") for line in lines if line.startswith(f"{name} ")))


def test_a_grant_past_its_deadline_that_nobody_ends_is_overdue_and_silent_sweepers_are_measured(world):
    now = clock.now()
    world.grant(now=now - dt.timedelta(seconds=637), duration=600)
    awake(now - dt.timedelta(seconds=40))
    assert is_aged(metric("stint_oldest_overdue_end_seconds"), 37)
    assert is_aged(metric("stint_sweepers_silent_seconds"), 40)
    Sweeper.objects.all().delete()
    assert metric("stint_sweepers_silent_seconds") == float("inf")


def test_the_oldest_unsigned_entry_unsent_notice_and_unreconciled_cluster_are_said_and_measured(
    world, prober, settings, tmp_path
):
    now = clock.now()
    ages = {
        "stint_oldest_unsigned_entry_seconds": "an entry of the record has not been signed for",
        "stint_oldest_unsent_notice_seconds": "a notification has waited to be mailed for",
        "stint_oldest_unreconciled_cluster_seconds": "the targets of a cluster have not been reconciled for",
    }
    settings.CHECKPOINTS_FILE = tmp_path / "checkpoints.txt"
    make_checkpoint(now=now)
    long_ago = now - dt.timedelta(seconds=400)
    with transaction.atomic():
        record(
            event=Event.RECORD_VERIFIED,
            actor=SETUP,
            object_type="log",
            object_ref="main",
            now=long_ago,
            data={},
        )
    world.request(now=long_ago)
    Cluster.objects.update(created_at=long_ago)
    for name in ages:
        assert is_aged(metric(name), 400), name
    warnings = prober.get("/readyz").json()["warnings"]
    assert all(any(text in warning for warning in warnings) for text in ages.values()), warnings
    Notice.objects.update(mailed_at=now)
    make_checkpoint(now=now)
    for target in Target.objects.all():
        Observation.objects.create(target=target, tried_at=now, seen_at=now)
    assert all(is_aged(metric(name), 0) for name in ages)
    assert prober.get("/readyz").json()["warnings"] == []


def test_a_node_whose_clock_is_off_is_not_ready(db, prober, monkeypatch):
    class Ahead(dt.datetime):
        @classmethod
        def now(cls, tz=None):
            return dt.datetime.now(tz) + dt.timedelta(hours=1)

    # The node's own clock is the outside world.
    node = SimpleNamespace(datetime=Ahead, timedelta=dt.timedelta, UTC=dt.UTC)
    monkeypatch.setattr(clock, "dt", node)
    answer = prober.get("/readyz")
    assert answer.status_code == 503
    assert "clock" in answer.json()["problems"][0]


def test_without_its_database_it_is_not_ready(stint_db, prober):
    use("there_is_no_such_database")
    try:
        answer = prober.get("/readyz")
    finally:
        use(stint_db.name)
    assert answer.status_code == 503
    assert "did not respond" in answer.json()["problems"][0]


def test_the_clock_never_goes_back_between_two_readings(db):
    readings = [clock.now() for _ in range(50)]
    assert readings == sorted(readings)


def test_metrics_say_how_ending_stands(world, prober):
    grant = world.grant()
    text = Client().get("/metrics").content.decode()
    assert 'stint_grants{state="active"} 1.0' in text
    assert "stint_oldest_overdue_end_seconds 0.0" in text
    assert grant.ref not in text
    assert "alice" not in text


@pytest.mark.parametrize(
    ("kind", "known"), [("SSH", {"host_key": "ssh-ed25519 AAAA"}), ("web", {"tls_fingerprint": "AA:BB"})]
)
def test_a_gateway_that_is_gone_is_said_for_a_day(world, prober, kind, known):
    now = clock.now()
    GatewayNode.objects.create(name="http", seen_at=now - dt.timedelta(seconds=40))
    node = GatewayNode.objects.create(name="gateway-1", seen_at=now, **known)
    assert prober.get("/readyz").json()["warnings"] == []
    GatewayNode.objects.filter(pk=node.pk).update(seen_at=now - dt.timedelta(seconds=40))
    (warning,) = prober.get("/readyz").json()["warnings"]
    said = re.match(rf"no {kind} gateway has been seen for (\d+) s", warning)
    assert is_aged(float(said[1]), 40)
    GatewayNode.objects.filter(pk=node.pk).update(seen_at=now - dt.timedelta(days=2))
    assert prober.get("/readyz").json()["warnings"] == []
