"""Days of which nothing can change any more are counted once, and the figures from the counts are those from
the rows.
"""

import datetime as dt
import zoneinfo

import pytest

from accounts.models import Identity
from broker.kernel import clock
from sessions_app.models import AccessRequest, CommandRun, Grant, SettledCount, SettledDay
from sessions_app.models.visibility import hold_still
from sessions_app.operations.sweep.count_settled_days import count_settled_days
from sessions_app.queries.status.periods import Period
from sessions_app.web.record.insight_page import PERIODS, insight
from tests.support.world import acts

DAY = dt.timedelta(days=1)


@pytest.fixture
def noon() -> dt.datetime:
    """Noon today: yesterday is counted from one o'clock on."""
    return dt.datetime.combine(clock.now().date(), dt.time(12), dt.UTC)


def midnight(now: dt.datetime, days: int) -> dt.datetime:
    return dt.datetime.combine(now.date() - days * DAY, dt.time.min, dt.UTC)


def days(kind: str = "grants") -> list[dt.date]:
    return list(SettledDay.objects.filter(kind=kind).order_by("day").values_list("day", flat=True))


def put(grant: Grant, at: dt.datetime) -> None:
    """Let a grant, its request and its commands be of a time."""
    Grant.objects.filter(pk=grant.pk).update(created_at=at)
    AccessRequest.objects.filter(pk=grant.request_id).update(created_at=at)
    CommandRun.objects.filter(grant=grant).update(tried_at=at)


def over(grant: Grant, at: dt.datetime) -> Grant:
    acts.confirmed_end(grant, at, 1)
    put(grant, at)
    return grant


def test_a_day_is_counted_once_its_grants_are_over_or_its_requests_decided(world, noon):
    two, one = midnight(noon, 2), midnight(noon, 1)
    live, asked = world.grant(), world.request()
    put(live, two)
    AccessRequest.objects.filter(pk=asked.pk).update(created_at=one)
    count_settled_days(now=noon)
    assert days()[-1] == one.date()
    assert two.date() not in days()
    assert days("requests")[-1] == two.date()
    over(live, two)
    world.decide(asked, verdict="deny", comment="No")
    for _ in range(2):
        count_settled_days(now=noon)
        assert days()[-2:] == days("requests")[-2:] == days("refusals")[-2:] == [two.date(), one.date()]
        found = SettledCount.objects.order_by("slot").values_list("slot", "grants", "requests", "refused")
        assert list(found) == [(two, 1, 1, 0), (one, 0, 1, 0)]


def test_a_day_is_counted_an_hour_after_it_and_its_counts_are_kept_as_long_as_they_are_shown(world, noon):
    over(world.grant(), midnight(noon, 1))
    end = midnight(noon, 0)
    count_settled_days(now=end + dt.timedelta(minutes=59))
    assert days()[-1] == midnight(noon, 2).date()
    count_settled_days(now=end + dt.timedelta(minutes=60))
    assert days()[-1] == midnight(noon, 1).date()
    assert SettledCount.objects.count() == 1
    count_settled_days(now=noon + 100 * DAY)
    assert SettledCount.objects.count() == 0
    assert days()[0] > midnight(noon, 1).date()


@pytest.fixture
def year(world, noon):
    """Grants of people and machines over the last months, some used, refused commands, and some that are not
    over.
    """
    for number, who in enumerate([world.alice, world.robot, world.alice, world.robot, world.deployer] * 3):
        grant = world.grant(who=who)
        if number % 2:
            used, opened = acts.enter(grant, now=world.now)
            acts.run(used, opened, "echo restart sshd", now=world.now)
        at = midnight(noon, number * 4) + dt.timedelta(hours=number, minutes=20)
        over(grant, at) if number % 5 else put(grant, at)
    for number in (1, 2):
        world.request(kind="break_glass")
        glass = over(Grant.objects.latest("pk"), midnight(noon, number))
        Grant.objects.filter(pk=glass.pk).update(reviewed_at=noon if number == 1 else None)
    return world


@pytest.mark.parametrize("zone", ["UTC", "Asia/Kathmandu", "America/New_York"])
def test_figures_are_the_same_from_counts_and_from_rows(year, noon, zone):
    zone = zoneinfo.ZoneInfo(zone)
    periods = [Period(days, noon.astimezone(zone).date(), zone) for days in PERIODS]

    def figures():
        for who in ("alice", "bob", "charlie", "admin"):
            for still in (False, True):
                reader = Identity.objects.get(username=who)
                if still:
                    hold_still(reader)
                yield from (insight(reader, period, noon) for period in periods)

    before = list(figures())
    count_settled_days(now=noon)
    assert SettledCount.objects.exists()
    assert list(figures()) == before
