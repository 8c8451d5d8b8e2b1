"""What is counted of grants, requests, commands and ends in a period, in the days of the reader's
time zone.
"""

import datetime as dt
from zoneinfo import ZoneInfo

from sessions_app.models import AccessRequest, CommandRun, EndReason, Grant
from sessions_app.queries.grants.activity import confirmed, granted, refused, to_review
from sessions_app.queries.requests.decision_times import asked, decided
from sessions_app.queries.status.periods import Period
from sessions_app.queries.status.settled import known_of
from tests.support.world import acts

DAY = dt.timedelta(days=1)
UTC = ZoneInfo("UTC")


def period(now: dt.datetime, days: int = 7, zone: ZoneInfo = UTC) -> Period:
    return Period(days, now.astimezone(zone).date(), zone)


def test_a_day_begins_at_midnight_in_the_readers_time_zone(world):
    at = dt.datetime(2026, 11, 25, 23, 30, tzinfo=dt.UTC)
    grant = world.grant()
    Grant.objects.filter(pk=grant.pk).update(created_at=at)
    found = {
        name: granted(known_of(world.admin, period(at + DAY, zone=ZoneInfo(name)), world.now))[0].day.day
        for name in ("UTC", "Europe/Berlin", "America/New_York")
    }
    assert found == {"UTC": 25, "Europe/Berlin": 26, "America/New_York": 25}


def test_a_long_period_is_counted_by_week_and_its_first_week_begins_with_the_period(world):
    whole = period(world.now, 90)
    first, last = whole.parts[0], whole.parts[-1]
    assert (first.first, last.last) == (whole.first, whole.today)
    assert all(part.first.weekday() == 0 for part in whole.parts[1:])
    grant = world.grant()
    for at, part in ((whole.since, first), (world.now, last)):
        Grant.objects.filter(pk=grant.pk).update(created_at=at)
        assert [row.day for row in granted(known_of(world.admin, whole, world.now))] == [part.first]
    Grant.objects.filter(pk=grant.pk).update(created_at=whole.since - dt.timedelta(seconds=1))
    assert not granted(known_of(world.admin, whole, world.now))


def test_break_glass_access_is_counted_with_its_reviews(world):
    world.request(kind="break_glass")
    Grant.objects.update(review_due_at=world.now - DAY, created_at=world.now)
    now = period(world.now)
    (row,) = granted(known_of(world.admin, now, world.now))
    assert (row.total, row.break_glass, row.to_review) == (1, 1, 1)
    assert to_review(world.admin, now, world.now) == [(now.today, 1, 1)]
    Grant.objects.update(reviewed_at=world.now)
    assert granted(known_of(world.admin, now, world.now)) == [row]
    assert not to_review(world.admin, now, world.now)


def test_a_grant_that_ended_without_a_session_was_never_used(world):
    used, unused = world.grant(), world.grant(reason="Again")
    Grant.objects.update(created_at=world.now)
    acts.session(acts.use(used, now=world.now), now=world.now)
    for grant in (used, unused):
        acts.confirmed_end(grant, world.now, 1)
    (row,) = granted(known_of(world.admin, period(world.now), world.now))
    assert (row.ended, row.unused) == (2, 1)


def test_only_what_people_decided_counts_for_the_time_to_decision(world):
    for minutes in (10, 30):
        one = world.decide(world.request(reason=f"{minutes}"))
        at = world.now - dt.timedelta(minutes=minutes)
        AccessRequest.objects.filter(pk=one.pk).update(created_at=at, decided_at=world.now)
    AccessRequest.objects.filter(pk=world.request().pk).update(created_at=world.now)
    denied = world.decide(world.request(), verdict="deny", comment="No")
    AccessRequest.objects.filter(pk=denied.pk).update(
        created_at=world.now - dt.timedelta(minutes=20), decided_at=world.now
    )
    row = decided(world.admin, period(world.now), world.now)[-1]
    assert row == (None, 3, 1, 1200, 1680)
    # Just after midnight, they are of two days.
    found = asked(known_of(world.admin, period(world.now), world.now))
    assert (sum(one.total for one in found), sum(one.expired for one in found)) == (4, 0)


def test_refused_commands_are_counted_when_they_were_tried(world):
    grant = world.grant()
    used = acts.use(grant, now=world.now)
    session = acts.session(used, now=world.now)
    for line in ("echo restart sshd", "echo restart nginx"):
        acts.run(used, session, line, now=world.now)
    CommandRun.objects.update(tried_at=world.now)
    assert [
        (row.cluster, row.commands) for row in refused(known_of(world.bob, period(world.now), world.now))
    ] == [(grant.cluster_id, 1)]
    assert not refused(known_of(world.charlie, period(world.now), world.now))
    CommandRun.objects.update(tried_at=world.now - 8 * DAY)
    assert not refused(known_of(world.admin, period(world.now), world.now))


def test_revocations_are_measured_from_when_they_were_due_and_deadlines_are_not_counted(world):
    grants = [world.grant(reason=f"{number}") for number in range(3)]
    for grant, took, reason in zip(
        grants, (1, 3, 9), (EndReason.REVOKED, EndReason.RELEASED, EndReason.EXPIRED), strict=True
    ):
        acts.confirmed_end(grant, world.now, took, reason)
    *days, row = confirmed(world.admin, period(world.now), world.now)
    assert (row.ends, row.late, row.p50) == (2, 1, 2.0)
    assert [one.day for one in days] == [period(world.now).today]
