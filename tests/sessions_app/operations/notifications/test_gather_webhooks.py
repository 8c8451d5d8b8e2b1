"""Queuing what has happened for webhooks."""

import json

import jsonschema

from broker.audit.actor import Actor
from broker.audit.events import Event
from broker.audit.record import record
from sessions_app.models import WebhookEndpoint, WebhookMessage
from sessions_app.operations.catalog.remove_document import remove_document
from sessions_app.operations.notifications.gather_webhooks import gather_webhooks
from sessions_app.operations.sweep.sweep import sweep
from sessions_app.policy.webhooks import EVENTS, message_schema
from tests.support.servers.receiver import endpoint, webhook_file
from tests.support.world.acts import after, at_once, change, policy, run, session, use

ALL = {"events": " ".join(EVENTS)}


def told(name: str = "chat") -> list[tuple[str, str]]:
    """What is queued for an endpoint, in order: event and object."""
    return list(
        WebhookMessage.objects.filter(endpoint__name=name)
        .order_by("entry")
        .values_list("event", "object_ref")
    )


def test_what_is_asked_for_and_granted_is_queued_in_order_and_once(world):
    world.apply(webhook_file(None, events="request.created request.approved grant.scheduled grant.active"))
    grant = world.grant()
    assert gather_webhooks(now=world.now) == 4
    assert gather_webhooks(now=world.now) == 0
    ref = grant.request.ref
    assert told() == [
        ("request.created", ref),
        ("request.approved", ref),
        ("grant.scheduled", grant.ref),
        ("grant.active", grant.ref),
    ]


def test_an_end_by_the_clock_alone_is_told(world):
    world.apply(webhook_file(None, events="grant.revoking"))
    grant = world.grant()
    sweep(now=lambda: after(world, hours=2), name="test")
    gather_webhooks(now=after(world, hours=2))
    assert told() == [("grant.revoking", grant.ref)]
    sent = json.loads(WebhookMessage.objects.get().payload)
    assert sent["data"]["details"] == {"reason": "expired"}


def test_a_message_names_things_and_says_what_the_list_of_facts_allows(world, settings):
    world.apply(webhook_file(None, events="command.refused"))
    grant = world.grant()
    used = use(grant, now=world.now)
    run(used, session(used, now=world.now), "echo restart sshd", now=world.now)
    gather_webhooks(now=world.now)
    sent = json.loads(WebhookMessage.objects.get().payload)
    assert sent["type"] == "command.refused"
    data = sent["data"]
    assert (data["grant"], data["request"], data["holder"]) == (grant.ref, grant.request.ref, "alice")
    assert (data["cluster"], data["command_set"], data["policy"]) == ("web", "restart-web v1", "web-work")
    assert data["url"] == f"{settings.PUBLIC_URL}/grants/{grant.ref}/"
    assert set(data["details"]) == {"target", "line", "why"}
    assert data["details"]["line"] == "echo restart sshd"


def test_every_message_is_of_the_published_form(world):
    world.apply({**webhook_file(None, **ALL), **policy(world, deviations={"limit": 1})})
    grant = world.grant()
    used = use(grant, now=world.now)
    run(used, session(used, now=world.now), "echo restart sshd", now=world.now)
    world.decide(world.request(), verdict="deny", comment="No.")
    incident = world.incident()
    world.respond(incident)
    gather_webhooks(now=world.now)
    messages = list(WebhookMessage.objects.all())
    assert len({message.event for message in messages}) > 7
    for message in messages:
        jsonschema.validate(json.loads(message.payload), message_schema())


def test_an_endpoint_of_policies_is_told_of_what_happens_under_those_that_name_it(world):
    world.apply(webhook_file(None, scope="policies", events="request.created workflow.opened"))
    world.request()
    world.incident()
    gather_webhooks(now=world.now)
    assert told() == []
    world.catalog |= webhook_file(None, scope="policies", events="request.created workflow.opened")
    change(world, policy(world, notify={"webhooks": ["chat"]}))
    request = world.request()
    world.incident()
    gather_webhooks(now=world.now)
    assert told() == [("request.created", request.ref)]


def test_two_that_look_at_once_queue_each_thing_once(live_world):
    world = live_world
    world.apply(webhook_file(None))
    for _ in range(5):
        world.request()
    at_once(*[lambda: gather_webhooks(now=world.now)] * 3)
    gather_webhooks(now=world.now)
    assert [event for event, _ in told()] == ["request.created"] * 5


def test_a_removed_endpoint_is_told_of_nothing_more(world):
    world.apply(webhook_file(None))
    remove_document(kind="webhooks", name="chat", actor=world.admin, now=world.now)
    world.request()
    gather_webhooks(now=world.now)
    assert told() == []
    assert endpoint().removed_at == world.now


def test_an_entry_of_something_that_is_not_there_is_told_without_its_names(world):
    world.apply(webhook_file(None))
    record(
        event=Event.REQUEST_CREATED,
        actor=Actor.system("test"),
        object_type="request",
        object_ref="no reference",
        now=world.now,
        data={},
    )
    assert gather_webhooks(now=world.now) == 1
    assert "holder" not in json.loads(WebhookMessage.objects.get().payload)["data"]


def test_an_endpoint_for_which_it_fails_holds_up_no_other(world):
    world.apply({**webhook_file(None, name="a"), **webhook_file(None, name="b")})
    WebhookEndpoint.objects.filter(name="a").update(events=[{"no": "event"}])
    world.request()
    gather_webhooks(now=world.now)
    assert [event for event, _ in told("b")] == ["request.created"]
