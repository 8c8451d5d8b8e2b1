"""The entry point for webhooks: what proves itself ends, what does not has no effect, and nothing that comes
in begins anything.
"""

from http import HTTPStatus

import pytest
from django.test import Client

from broker.audit.models import AuditEntry
from sessions_app.models import AccessRequest, Grant, InboundDelivery, Workflow, WorkflowSource
from sessions_app.operations.workflows.read_workflow import read_workflow
from tests.support.servers.outside import outside, pagerduty_event, signed_by_pagerduty, tell_pagerduty
from tests.support.world.acts import intact, last

ID = "Q1ABCDEF2GHIJK"
REF = f"pagerduty:{ID}"
SECRET = "pd-secret-of-the-webhook"
DOCUMENT = """
name: pagerduty
provider: pagerduty
parameters: {url: "%s", token: pd-api-token}
webhook_secrets: [pd-secret-before, %s]
clusters: [web]
"""
RESOLVED = pagerduty_event(ID, "incident.resolved", "resolved")


@pytest.fixture
def pagerduty(world):
    with outside() as system:
        tell_pagerduty(system, ID)
        world.apply({"workflow-sources/pagerduty.yaml": DOCUMENT % (system.url, SECRET)})
        yield system


def deliver(body=RESOLVED, headers=None, source="pagerduty", **more):
    headers = signed_by_pagerduty(SECRET, body) if headers is None else headers
    client = Client(enforce_csrf_checks=True)
    return client.post(f"/hooks/{source}/", body, content_type="application/json", headers=headers, **more)


def responding(world):
    return world.respond(read_workflow(ref=REF, now=world.now))


def test_a_signed_delivery_ends_all_access_for_the_incident_at_once(world, pagerduty):
    grant, other = responding(world), world.grant()
    answer = deliver()
    assert (answer.status_code, answer.json()) == (200, {"received": True})
    assert not answer.cookies
    grant.refresh_from_db()
    other.refresh_from_db()
    assert (grant.state, grant.end_reason, other.state) == ("revoking", "workflow_closed", "active")
    delivery = InboundDelivery.objects.get()
    assert (delivery.state, delivery.closed, delivery.event) == ("handled", 1, "incident.resolved")
    assert last("workflow.closed", REF).actor == "system:workflows"
    assert intact()


@pytest.mark.parametrize(
    "headers",
    [
        {},
        signed_by_pagerduty("guessed", RESOLVED),
        signed_by_pagerduty(SECRET, RESOLVED + b" "),
        {"X-PagerDuty-Signature": "v1=\u00e9"},
        {"X-PagerDuty-Signature": ""},
        {"X-Hub-Signature-256": "sha256=00"},
    ],
)
def test_what_does_not_prove_itself_has_no_effect_and_is_recorded(world, pagerduty, headers):
    grant = responding(world)
    answer = deliver(headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (401, "not_from_source")
    grant.refresh_from_db()
    assert grant.state == "active"
    assert not InboundDelivery.objects.exists()
    assert last("source.refused", "pagerduty").data["count"] == 1


def test_a_flood_fills_the_record_with_one_entry_a_minute(world, pagerduty):
    for _ in range(20):
        assert deliver(headers={}).status_code == HTTPStatus.UNAUTHORIZED
    assert AuditEntry.objects.filter(event="source.refused").count() == 1
    assert WorkflowSource.objects.get().refused == 19


@pytest.mark.parametrize(
    "kind",
    [
        "incident.triggered",
        "incident.reopened",
        "incident.acknowledged",
        "incident.made_up",
        "pagey.ping",
        "service.created",
    ],
)
def test_no_delivery_makes_work_known_or_begins_anything(world, pagerduty, kind):
    for ref in (ID, "Q9NEWONE"):
        assert deliver(pagerduty_event(ref, kind, "triggered")).status_code == HTTPStatus.OK
    assert not Workflow.objects.exists()
    assert not AccessRequest.objects.exists()
    assert not Grant.objects.exists()


HUGE = b"{" + b" " * (1024 * 1024)


@pytest.mark.parametrize(
    ("body", "status", "reason"),
    [
        (HUGE, 413, "The delivery is too large."),
        *(
            (body, 400, "The delivery is signed, but it is not valid JSON.")
            for body in (b"payload=%7B%7D", b"[" * 100_000, b"")
        ),
    ],
    ids=["huge", "form", "deep", "empty"],
)
def test_what_is_too_large_or_no_json_is_refused_and_recorded(world, pagerduty, body, status, reason):
    assert deliver(body).status_code == status
    assert not InboundDelivery.objects.exists()
    assert last("source.refused", "pagerduty").data == {"reason": reason, "count": 1}


def test_only_post_does_anything(world, pagerduty):
    for method in ("get", "head", "put", "delete", "options"):
        answer = getattr(Client(), method)("/hooks/pagerduty/", headers=signed_by_pagerduty(SECRET, b""))
        assert answer.status_code == HTTPStatus.METHOD_NOT_ALLOWED
