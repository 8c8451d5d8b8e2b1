"""Telling the next ones of what nobody has answered."""

import pytest

from broker.kernel.errors import InvalidInput
from sessions_app.models import EndReason, Escalation, Grant, Notice, WebhookMessage
from sessions_app.operations.grants.end_grant import end_grant
from sessions_app.operations.grants.provision_grant import provision_grant
from sessions_app.operations.notifications.escalate import escalate
from sessions_app.operations.notifications.gather_webhooks import gather_webhooks
from sessions_app.operations.requests.review_break_glass import review_break_glass
from sessions_app.operations.sessions.decide_hold import decide_hold
from sessions_app.operations.sessions.renew_gateway import renew_gateway
from tests.support.servers.receiver import webhook_file
from tests.support.world.acts import after, at_once, change, events, last, policy, run, session, undo, use

STEPS = [
    {"after": "10m", "notify": {"groups": ["leads"]}},
    {"after": "1h", "notify": {"groups": ["approvers"]}},
]


def escalating(world, steps=STEPS, **more):
    world.catalog["groups/leads.yaml"] = "name: leads\nmembers: [charlie, alice]\n"
    change(world, policy(world, escalation=steps, viewers={"groups": ["leads"]}, **more))
    Notice.objects.all().delete()
    return world


def told(event: str) -> list[str]:
    return sorted(Notice.objects.filter(event=event).values_list("identity__username", flat=True))


def test_after_so_long_the_next_ones_are_told_once_and_it_is_recorded(world):
    escalating(world)
    request = world.request()
    assert escalate(now=after(world, minutes=9)) == 0
    assert escalate(now=after(world, minutes=11)) == 1
    assert escalate(now=after(world, minutes=12)) == 0
    # Never whoever asks.
    assert told("request.escalated") == ["charlie"]
    assert last("request.escalated", request.ref).data == {
        "step": 1,
        "waited": 660,
        "notified": ["charlie"],
        "webhooks": [],
    }
    assert escalate(now=after(world, hours=1)) == 1
    assert told("request.escalated") == ["bob", "charlie", "dora"]
    assert escalate(now=after(world, hours=5)) == 0


def test_what_was_answered_is_told_to_nobody(world):
    escalating(world)
    world.decide(world.request())
    assert escalate(now=after(world, minutes=11)) == 0
    assert told("request.escalated") == []
    assert not Escalation.objects.filter(due_at__isnull=False).exists()


def test_a_held_command_is_escalated_until_it_is_decided(world):
    escalating(
        world,
        [
            {"after": "1m", "notify": {"groups": ["leads"]}},
            {"after": "2m", "notify": {"groups": ["approvers"]}},
        ],
    )
    grant = world.grant()
    used = use(grant, now=world.now)
    held = run(used, session(used, now=world.now), "echo stop nginx", now=world.now)
    assert escalate(now=after(world, seconds=61)) == 1
    assert told("command.escalated") == ["charlie"]
    assert last("command.escalated", grant.ref).data["run"] == held.run_id
    renew_gateway(name="gateway-1", version="1", now=after(world, seconds=89))
    decide_hold(run_id=held.run_id, actor=world.bob, allow=True, now=after(world, seconds=90))
    assert escalate(now=after(world, seconds=121)) == 0


def test_a_review_that_is_due_is_escalated_until_somebody_reviews(world):
    escalating(world)
    grant = _glass(world)
    end_grant(grant_id=grant.pk, actor=world.alice, reason=EndReason.RELEASED, now=world.now)
    grant.refresh_from_db()
    undo(grant, now=world.now)
    assert escalate(now=after(world, minutes=11)) == 1
    assert told("breakglass.escalated") == ["charlie"]
    review_break_glass(grant_id=grant.pk, reviewer=world.bob, note="Fine.", now=after(world, minutes=12))
    assert escalate(now=after(world, hours=2)) == 0


def _glass(world):
    request = world.request(kind="break_glass", reason="It burns")
    return provision_grant(grant_id=Grant.objects.get(request=request).pk, now=world.now)


def test_where_nobody_of_a_step_is_there_administrators_are_told(world):
    escalating(world)
    world.request()
    type(world.charlie).objects.filter(pk=world.charlie.pk).update(is_active=False)
    escalate(now=after(world, minutes=11))
    assert told("request.escalated") == ["admin"]


def test_a_step_may_be_for_a_webhook_alone(world):
    world.catalog |= webhook_file(None, name="pager", scope="policies", events="request.escalated")
    escalating(world, [{"after": "5m", "notify": {"webhooks": ["pager"]}}])
    request = world.request()
    escalate(now=after(world, minutes=6))
    gather_webhooks(now=after(world, minutes=6))
    message = WebhookMessage.objects.get()
    assert (message.endpoint.name, message.object_ref) == ("pager", request.ref)
    assert told("request.escalated") == []


def test_two_processes_tell_once(live_world):
    world = escalating(live_world)
    request = world.request()
    at_once(*[lambda: escalate(now=after(world, minutes=11))] * 3)
    assert events(request.ref).count("request.escalated") == 1


def test_of_those_who_decide_the_first_are_told_and_all_where_none_of_them_is_there(world):
    world.catalog["groups/first.yaml"] = "name: first\nmembers: [dora]\n"
    change(
        world,
        policy(world, approvals=[{"count": 1, "from": ["approvers", "first"]}], notify={"first": ["first"]}),
    )
    Notice.objects.all().delete()
    world.request()
    assert told("request.created") == ["dora"]
    type(world.dora).objects.filter(pk=world.dora.pk).update(is_active=False)
    world.request(reason="Another")
    assert told("request.created") == ["bob", "dora"]


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"escalation": [STEPS[1], STEPS[0]]}, "ascending order"),
        ({"escalation": [{"after": "10m", "notify": {}}]}, "at least one"),
        ({"escalation": [{"after": "10m", "notify": {"groups": ["operators"]}}]}, "can't see requests"),
        ({"notify": {"first": ["operators"]}}, "can't decide"),
        ({"notify": {"webhooks": ["nowhere"]}}, "unknown webhook nowhere"),
    ],
)
def test_a_policy_that_would_tell_nobody_is_refused(world, changes, problem):
    world.catalog["groups/leads.yaml"] = "name: leads\nmembers: [charlie]\n"
    more = {"viewers": {"groups": ["leads"]}} if changes.get("escalation") == [STEPS[1], STEPS[0]] else {}
    with pytest.raises(InvalidInput) as refusal:
        world.apply(policy(world, **changes, **more))
    assert problem in f"{refusal.value} {refusal.value.fields}"
