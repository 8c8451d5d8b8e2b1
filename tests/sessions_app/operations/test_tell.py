"""Telling people."""

from __future__ import annotations

from broker.audit.events import Event
from sessions_app.models import Notice
from sessions_app.operations.tell import tell


def told(world, *people, subject="Hello") -> list[str]:
    Notice.objects.all().delete()
    tell(people=people, event=Event.REQUEST_CREATED, subject=subject, body="", path="/", now=world.now)
    return sorted(Notice.objects.values_list("identity__username", flat=True))


def test_each_person_is_told_once(world):
    assert told(world, world.bob, world.alice, world.bob) == ["alice", "bob"]


def test_machines_are_told_through_their_owner_and_the_owner_once(world):
    assert told(world, world.robot, world.deployer, world.alice) == ["alice"]


def test_nobody_is_told_nothing(world):
    assert told(world) == []


def test_a_notice_waits_for_its_mail_from_the_start_and_a_long_subject_is_cut(world):
    told(world, world.bob, subject="x" * 500)
    notice = Notice.objects.get()
    assert (notice.next_attempt_at, notice.mailed_at, len(notice.subject)) == (world.now, None, 200)
