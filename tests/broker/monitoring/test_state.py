"""What the database and the queue know is measured as it is."""

import datetime as dt
import json

import pytest

from broker import queue_state, state_metrics
from broker.audit.models import AuditBacklog, AuditVerification
from broker.celery import SENT_AT
from broker.kernel.metrics import ENDS
from sessions_app.models import (
    Drift,
    EndsOfDay,
    GatewayNode,
    Lease,
    Observation,
    Target,
    WebhookEndpoint,
    WebhookMessage,
    WorkflowSource,
)
from tests.support.databases import use
from tests.support.pace import allow
from tests.support.world import acts
from tests.support.world.holders import metric


def values() -> dict[str, float]:
    """Each sample of the state, by its name and the values of its labels."""
    return {
        " ".join([sample.name, *sample.labels.values()]): sample.value
        for family in state_metrics.State().collect()
        for sample in family.samples
    }


def ago(now: dt.datetime, seconds: float) -> dt.datetime:
    return now - dt.timedelta(seconds=seconds)


def make_troubles(world, now: dt.datetime) -> None:
    """One of everything that should not be, and 40 seconds old."""
    grant = world.grant()
    used = acts.use(grant, now=now)
    at = acts.session(used, now=now)
    acts.run(used, at, "echo stop nginx", now=now)
    acts.run(used, at, now=now)
    Lease.objects.filter(grant=grant).update(failed_at=now, last_error="refused")
    world.request(now=ago(now, 40))
    target = Target.objects.first()
    Observation.objects.create(target=target, tried_at=now, error="no route")
    Drift.objects.create(target=target, kind="orphan", mark="m", seen_at=now)
    WorkflowSource.objects.create(name="desk", provider="x", last_error="refused")
    hook = WebhookEndpoint.objects.create(name="chat", failing_since=now)
    WebhookEndpoint.objects.create(name="old", paused_at=now)
    WebhookMessage.objects.create(endpoint=hook, key="k", event="x", payload="{}", created_at=ago(now, 40))
    GatewayNode.objects.create(name="one", seen_at=ago(now, 40))
    GatewayNode.objects.create(name="stopped", seen_at=ago(now, 40), stopped_at=now)
    AuditVerification.objects.create(log="main", at=ago(now, 40), ok=False, entries=1)
    AuditBacklog.objects.create(at=now, event="x", actor="x", object_type="x", object_ref="x")
    EndsOfDay.objects.create(day=now.date(), cause="revoke", total=1000, late=2, longest=3, buckets={})


EXPECTED = {
    "stint_holds_waiting": 1,
    "stint_requests_waiting": 1,
    "stint_failing_ends": 1,
    "stint_targets": 1,
    "stint_targets_failing": 1,
    "stint_drift orphan": 1,
    "stint_drift changed": 0,
    "stint_workflow_sources_failing": 1,
    "stint_webhooks_failing": 1,
    "stint_webhooks_paused": 1,
    "stint_record_intact": 0,
    "stint_record_backlog_entries": 1,
    "stint_grants active": 1,
    "stint_overdue_ends": 0,
    "stint_database_up": 1,
}
AGED = (
    "stint_oldest_request_waiting_seconds",
    "stint_oldest_undelivered_webhook_seconds",
    "stint_gateway_silent_seconds one",
    "stint_record_verified_seconds",
)


def test_everything_that_should_not_be_is_measured(world, now):
    make_troubles(world, now)
    found = values()
    assert {name: found[name] for name in EXPECTED} == EXPECTED
    assert all(39 < found[name] < 40 + allow(10) for name in AGED), {name: found[name] for name in AGED}
    assert found["stint_error_budget_left_ratio revoke"] == pytest.approx(-1)
    assert found["stint_error_budget_left_ratio deadline"] == 1
    assert found["stint_unsent_notices"] > 0
    assert found["stint_record_entries_total"] > 10
    assert "stint_gateway_silent_seconds stopped" not in found
    assert (
        0
        < sum(count for name, count in found.items() if name.startswith("stint_database_connections "))
        < found["stint_database_connections_limit"]
    )


def test_without_its_database_only_that_is_said_and_the_process_still_counts(stint_db, client):
    use("there_is_no_such_database")
    try:
        assert values() == {"stint_database_up": 0}
        text = client.get("/metrics").content.decode()
    finally:
        use(stint_db.name)
    assert "stint_database_up 0.0" in text
    assert "stint_build_info" in text


def test_the_age_of_a_message_is_that_of_when_it_was_sent(db, now):
    message = json.dumps({"headers": {SENT_AT: now.isoformat()}, "body": ""}).encode()
    assert queue_state.sent_at(message) == now
    for unreadable in (None, b"", b"{}", b"[]", b"\xff", b'{"headers": {"stint_sent_at": 1}}'):
        assert queue_state.sent_at(unreadable) is None


def test_a_queue_that_does_not_answer_is_said_to_be_down(db, settings, monkeypatch):
    settings.CELERY_BROKER_URL = "redis://127.0.0.1:1/0"
    monkeypatch.setattr(queue_state, "_read", lambda: None)
    assert values()["stint_queue_up"] == 0
    monkeypatch.setattr(queue_state, "_read", lambda: {"notify": (3, None)})
    found = values()
    assert (found["stint_queue_up"], found["stint_queue_messages notify"]) == (1, 3)


def test_the_proof_of_an_end_is_timed_once_when_it_is_committed(
    world, now, django_capture_on_commit_callbacks
):
    count = metric(f"{ENDS._name}_count", cause="revoke")
    grant = world.grant()
    acts.revoke(grant)
    with django_capture_on_commit_callbacks(execute=True):
        acts.undo(grant, now=acts.fresh(grant).revoking_at + dt.timedelta(seconds=1.5))
    acts.undo(grant, now=now + dt.timedelta(seconds=9))
    assert metric(f"{ENDS._name}_count", cause="revoke") == count + 1
