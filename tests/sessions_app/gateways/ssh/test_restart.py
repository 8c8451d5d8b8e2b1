"""A gateway that restarts with very many active grants, one of which can't be read."""

import signal
from collections.abc import Callable, Iterator

import pytest
from django.db import connection

from tests.bench.database import fill_grants, owner
from tests.sessions_app.gateways.conftest import make_place
from tests.support.servers.gateway import Place
from tests.support.waits import eventually
from tests.support.world.acts import policy

pytestmark = pytest.mark.timing

MANY, FIRST = 5_000, 10_000


@pytest.fixture(scope="module")
def place(processes, tmp_path_factory, django_db_setup, django_db_blocker) -> Iterator[Place]:
    """A place without a running gateway: the test starts and ends it."""
    with django_db_blocker.unblock():
        yield from make_place(tmp_path_factory, start=False)


@pytest.fixture
def fill(place) -> Iterator[Callable[[], None]]:
    """Add many active grants; end them as the owner afterwards, because one by one would take minutes."""
    name = connection.settings_dict["NAME"]
    yield lambda: fill_grants(name, MANY, state="active", expires="now() + interval '1 hour'", first=FIRST)
    past_the_guards(name, "state = 'ended', ended_at = now(), end_reason = 'expired' WHERE ref LIKE 'B-%'")


def past_the_guards(name: str, change: str) -> None:
    owner(
        name,
        "ALTER TABLE sessions_app_grant DISABLE TRIGGER USER",
        f"UPDATE sessions_app_grant SET {change}",
        "ALTER TABLE sessions_app_grant ENABLE TRIGGER USER",
    )


def unreadable_grant(place):
    """A grant that is due to start, under a policy that can no longer be read."""
    from broker.kernel import clock
    from sessions_app.models import AccessPolicy, Grant

    world = place.world
    other = policy(world, name="other")["policies/web-work.yaml"]
    # With the place's own files: a changed target would end every grant.
    world.apply({**place.catalog(), "policies/other.yaml": other}, now=clock.now())
    request = world.request(policy="other", now=clock.now())
    world.decide(request, now=clock.now())
    AccessPolicy.objects.filter(name="other").update(document={"approvals": "none"})
    return Grant.objects.get(request=request)


def test_the_unreadable_row_is_reported_and_the_first_overdue_end_goes_out_within_two_seconds(place, fill):
    from sessions_app.models import Grant, Lease

    place.start()
    overdue = place.grant()
    with place.running("sleep"):
        place.stop(signal.SIGKILL)
    # From here on alice has so many grants that a target's name alone selects none of them.
    fill()
    unreadable = unreadable_grant(place)
    past = "starts_at = now() - interval '1 hour', expires_at = now() - interval '1 minute'"
    past_the_guards(connection.settings_dict["NAME"], f"{past} WHERE id = {overdue.pk}")

    place.start()
    eventually(lambda: Lease.objects.filter(grant=overdue, gone_at__isnull=False).exists(), within=2)
    eventually(lambda: overdue.refresh_from_db() or overdue.state == "ended", within=2)
    assert overdue.end_reason == "expired"
    # The log names this row, which is postponed and delays nothing.
    eventually(lambda: unreadable.refresh_from_db() or unreadable.last_error, within=5)
    assert "can't be read" in unreadable.last_error
    assert (unreadable.state, unreadable.next_attempt_at is not None) == ("scheduled", True)
    assert place.log.count("sweep.row_failed") == 1
    assert Grant.objects.filter(state="active").count() == MANY
