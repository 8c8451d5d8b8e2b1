"""Telling people."""

import datetime as dt

from accounts.models import Identity
from broker.audit.events import Event
from sessions_app.models import Notice
from sessions_app.operations.notifications.notify import notify


def told(world, *people, subject="Hello") -> list[str]:
    Notice.objects.all().delete()
    notify(people=people, event=Event.REQUEST_CREATED, subject=subject, body="", path="/", now=world.now)
    return sorted(Notice.objects.values_list("identity__username", flat=True))


def test_each_person_is_told_once(world):
    assert told(world, world.bob, world.alice, world.bob) == ["alice", "bob"]


def test_machines_are_told_through_their_owner_and_the_owner_once(world):
    assert told(world, world.robot, world.deployer, world.alice) == ["alice"]


# In whose time


def in_zones(**zones: str) -> None:
    for name, zone in zones.items():
        Identity.objects.filter(username=name).update(time_zone=zone)


def test_a_time_is_said_to_each_in_their_own_zone_and_in_utc(world):
    in_zones(bob="Asia/Kolkata", dora="UTC")
    for person in (world.bob, world.dora):
        person.refresh_from_db()
    moment = dt.datetime(2026, 11, 27, 20, 0, tzinfo=dt.UTC)
    notify(
        people=[world.bob, world.dora],
        event=Event.REQUEST_CREATED,
        path="/",
        now=world.now,
        subject=lambda say: f"Until {say.hour(moment)}",
        body=lambda say: f"It ends {say.moment(moment)}.",
    )
    said = {notice.identity.username: (notice.subject, notice.body) for notice in Notice.objects.all()}
    assert said["bob"] == (
        "Until 01:30 IST (Fri 27 Nov, 20:00 UTC)",
        "It ends Sat 28 Nov 2026, 01:30 IST (Fri 27 Nov, 20:00 UTC).",
    )
    assert said["dora"] == ("Until 20:00 UTC", "It ends Fri 27 Nov 2026, 20:00 UTC.")
