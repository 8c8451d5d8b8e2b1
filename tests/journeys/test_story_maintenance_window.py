"""One cluster and one command set for an approved change, from its start to its end, or until it is closed.
Real OpenSSH.
"""

import datetime as dt
from collections.abc import Iterator

import pytest
import yaml

from broker.kernel import clock
from sessions_app.models import Grant, Sweeper
from sessions_app.operations.workflows.close_workflow import close_workflow
from tests.sessions_app.gateways.conftest import make_place
from tests.support.pace import allow
from tests.support.servers.gateway import Place, on_target
from tests.support.waits import eventually

pytestmark = pytest.mark.timing

LONG = 60


@pytest.fixture(scope="module")
def place(processes, tmp_path_factory, django_db_setup, django_db_blocker) -> Iterator[Place]:
    with django_db_blocker.unblock():
        for place in make_place(tmp_path_factory):
            terms = yaml.safe_load(place.world.catalog["policies/web-work.yaml"])
            terms["workflow"] = {"kinds": ["change"], "requester": "assignee"}
            place.world.apply(
                {**place.catalog(), "policies/web-work.yaml": yaml.safe_dump(terms)}, now=clock.now()
            )
            yield place


def seconds(number: float) -> dt.timedelta:
    return dt.timedelta(seconds=number)


def planned(place: Place, *, begins: float, lasts: float):
    """Return a change for Alice, planned by Dora to start this many seconds from now, and access for it,
    approved by Bob.
    """
    now = clock.now()
    Sweeper.objects.update_or_create(name="test", defaults={"seen_at": now})
    change = place.world.workflow(
        "change",
        place.world.dora,
        now=now,
        assignee="alice",
        starts_at=now + seconds(begins),
        ends_at=now + seconds(begins + lasts),
    )
    request = place.world.request(now=now, workflow=change.ref, duration=max(1, int(lasts) - 1))
    assert request.state == "pending"
    place.world.decide(request, now=now)
    return change, Grant.objects.get(request=request)


def close(place: Place, change) -> None:
    close_workflow(workflow_id=change.pk, actor=place.world.bob, now=clock.now(), note="Rolled back.")


def is_active(grant) -> bool:
    grant.refresh_from_db()
    return grant.state == "active"


def is_ended(grant) -> bool:
    grant.refresh_from_db()
    return grant.state == "ended"


def test_access_begins_with_the_change_and_ends_in_its_time(place):
    change, grant = planned(place, begins=allow(6), lasts=allow(8))
    assert (grant.state, grant.starts_at) == ("scheduled", change.starts_at)
    user = f"{grant.ref}.web-1"
    assert place.ssh("true", user=user).returncode != 0
    eventually(lambda: is_active(grant), within=LONG)
    assert grant.activated_at >= change.starts_at
    with place.running("stubborn", user=user) as (client, tag):
        assert client.wait(allow(LONG)) == 255
        eventually(lambda: not on_target(tag), within=LONG)
    eventually(lambda: is_ended(grant), within=LONG)
    assert grant.end_reason == "expired"
    assert grant.expires_at <= change.ends_at


def test_closed_early_the_change_takes_its_access_and_the_running_command_with_it(place):
    change, grant = planned(place, begins=0, lasts=600)
    eventually(lambda: is_active(grant), within=LONG)
    with place.running("sleep", user=f"{grant.ref}.web-1") as (client, tag):
        close(place, change)
        eventually(lambda: not on_target(tag), within=LONG)
        assert client.wait(allow(LONG)) == 255
    eventually(lambda: is_ended(grant), within=LONG)
    assert grant.end_reason == "workflow_closed"
