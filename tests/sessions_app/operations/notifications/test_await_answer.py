"""Waiting for a person's answer."""

import pytest

from sessions_app.models import CommandRun, EndReason, Escalation, Grant
from sessions_app.operations.grants.end_grant import end_grant
from sessions_app.operations.grants.provision_grant import provision_grant
from sessions_app.operations.notifications.await_answer import await_answer
from sessions_app.queries.requests import facts
from tests.support.world.acts import after, at_once, change, policy, run, session, undo, use

STEPS = [
    {"after": "10m", "notify": {"groups": ["approvers"]}},
    {"after": "1h", "notify": {"groups": ["approvers"]}},
]


def escalating(world):
    change(world, policy(world, escalation=STEPS))
    return world


def a_request(world):
    return world.request()


def a_held_command(world):
    used = use(world.grant(), now=world.now)
    held = run(used, session(used, now=world.now), "echo stop nginx", now=world.now)
    return CommandRun.objects.get(pk=held.run_id)


def a_due_review(world):
    request = world.request(kind="break_glass", reason="It burns")
    grant = provision_grant(grant_id=Grant.objects.get(request=request).pk, now=world.now)
    end_grant(grant_id=grant.pk, actor=world.alice, reason=EndReason.RELEASED, now=world.now)
    return undo(grant, now=world.now)


@pytest.mark.parametrize(
    ("what", "name"), [(a_request, "request"), (a_held_command, "run"), (a_due_review, "grant")]
)
def test_what_waits_is_due_when_the_first_step_is(world, what, name):
    waiting = what(escalating(world))
    row = Escalation.objects.get(**{name: waiting})
    assert (row.began_at, row.due_at, row.step) == (world.now, after(world, minutes=10), 0)


def again(world, request, now):
    await_answer(of=request, document=facts.policy_document(request.policy), now=now)


def test_what_waits_already_goes_on_from_when_it_began(world):
    request = a_request(escalating(world))
    again(world, request, after(world, minutes=5))
    assert Escalation.objects.get().due_at == after(world, minutes=10)
    Escalation.objects.update(step=1, due_at=after(world, hours=1))
    again(world, request, after(world, minutes=20))
    assert Escalation.objects.get().step == 1


def test_of_two_that_say_so_at_once_it_waits_once(live_world):
    request = a_request(escalating(live_world))
    Escalation.objects.all().delete()
    results = at_once(*[lambda: again(live_world, request, live_world.now)] * 3)
    assert results == [None] * 3
    assert Escalation.objects.count() == 1
