"""Approvers are not flooded by one person."""

import pytest
from django.core import mail

from sessions_app.models import Asks, Notice
from sessions_app.operations.notifications.notify_approvers import GATHERS
from sessions_app.operations.notifications.read_notice import read_notice
from sessions_app.operations.notifications.send_notices import send_notices
from sessions_app.operations.requests.comment_request import comment_request
from sessions_app.operations.sessions.decide_hold import decide_hold
from sessions_app.operations.sessions.withdraw_hold import withdraw_hold
from sessions_app.queries.notifications.notices import combined, outcome_of, unread_of, with_outcomes
from tests.support.world.acts import after, awake, change, policy, try_to_hold, vary_holds


def of_bob(world):
    return Notice.objects.filter(identity=world.bob).order_by("pk")


@pytest.fixture
def grant(world):
    vary_holds(world)
    found = world.grant()
    Notice.objects.all().delete()
    return found


def test_held_commands_of_a_grant_are_one_notice_with_one_mail_that_is_open_while_one_waits(world, grant):
    first, second = try_to_hold(world, grant, 1, 2)
    (notice,) = of_bob(world)
    assert (notice.count, notice.subject) == (2, f"Alice is waiting to run 2 commands under {grant.ref}")
    assert notice.body.split("\n") == [
        f"Alice is waiting to run echo stop nginx {n} on web-1" for n in (1, 2)
    ]
    send_notices(now=lambda: world.now)
    read_notice(notice_id=notice.pk, actor=world.bob, now=world.now)
    (third,) = try_to_hold(world, grant, 3, now=after(world, minutes=1))
    assert len([one for one in mail.outbox if one.to[0].count("bob")]) == 1
    # What is new makes it unread.
    assert list(unread_of(world.bob, world.now)) == [notice]
    assert combined(world.bob, world.now) == {"Alice": 2}
    for tried in (second, third):
        decide_hold(run_id=tried.run_id, actor=world.bob, allow=False, now=world.now)
    assert list(unread_of(world.bob, world.now)) == [notice]
    withdraw_hold(run_id=first.run_id, actor=world.alice, now=world.now)
    assert list(unread_of(world.bob, world.now)) == []
    (shown,) = with_outcomes(of_bob(world), world.bob, world.now)
    assert outcome_of(shown, world.now) == "No item is waiting for you"


def test_what_is_said_on_a_request_within_a_while_is_told_in_its_notice(world):
    request = world.request()
    comment_request(
        request_id=request.pk, author=world.alice, text="It is urgent.", now=after(world, minutes=1)
    )
    (notice,) = of_bob(world)
    assert (notice.count, notice.subject) == (2, f"Alice replies on {request.ref}")
    assert notice.body.startswith("It is urgent.\n\nRequester: Alice")
    comment_request(request_id=request.pk, author=world.alice, text="Please?", now=after(world, minutes=12))
    assert of_bob(world).count() == 2


def test_after_three_notices_about_one_person_the_others_are_one_digest_mailed_later(world):
    for number in range(12):
        world.request(world.alice if number % 2 else world.robot)
    *single, digest = of_bob(world)
    assert ([one.count for one in single], digest.asks, digest.count) == ([1, 1, 1], Asks.DIGEST, 9)
    assert (digest.subject, digest.path) == ("9 more requests by Alice", "/approvals/")
    assert combined(world.bob, world.now) == {"Alice": 9}
    send_notices(now=lambda: world.now)
    mail.outbox.clear()
    send_notices(now=lambda: world.now + GATHERS)
    assert {one.subject for one in mail.outbox} == {"[Stint] 9 more requests by Alice"}
    # What comes after that is another digest, and after an hour a notice again.
    world.request(now=awake(after(world, minutes=20)))
    assert [one.count for one in of_bob(world).filter(asks=Asks.DIGEST)] == [9, 1]
    world.request(now=awake(after(world, minutes=61)))
    assert of_bob(world).exclude(asks=Asks.DIGEST).count() == 4


def test_a_digest_of_what_was_decided_meanwhile_is_not_mailed(world):
    for request in [world.request() for _ in range(4)]:
        world.decide(request, verdict="deny", comment="No")
    send_notices(now=lambda: world.now + GATHERS)
    assert not [one for one in mail.outbox if "more request" in one.subject]
    assert list(unread_of(world.bob, world.now)) == []


def test_requests_for_incidents_are_told_apart_from_many_others(world):
    change(world, policy(world, incident={"on_call": ["operators"], "approvals": "same"}))
    incident = world.incident(world.dora)
    for _ in range(5):
        world.request()
    world.request(kind="incident", workflow=incident.ref)
    assert [one.asks for one in of_bob(world).filter(urgent=True)] == [Asks.VERDICT]
